import { spawn } from "node:child_process";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";

const PROGRAM = fileURLToPath(new URL("../../images/supervisor/tools/http_client.py", import.meta.url));

export interface Ran {
  readonly exitCode: number | null;
  // biome-ignore lint/suspicious/noExplicitAny: the answer's shape is what the tests check
  readonly answer: any; // oxlint-disable-line typescript/no-explicit-any
  readonly stderr: string;
  readonly peakKib: number;
}

/** Runs the client outside a sandbox, as it is run inside, and reports its peak memory. */
export async function runClient(
  request: object,
  options: { cwd?: string; env?: Record<string, string> } = {},
): Promise<Ran> {
  const asked = {
    method: "GET",
    headers: [],
    body: null,
    timeout_ms: 10_000,
    max_bytes: 1024 * 1024,
    target: null,
    ...request,
  };
  const argv = ["-I", "-B", "-c", MEASURED, PROGRAM];
  const child = spawn("/usr/bin/python3", argv, {
    cwd: options.cwd ?? "/",
    env: { PATH: "/usr/bin:/bin", ...options.env },
  });
  child.stdin.end(JSON.stringify(asked));
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const exitCode = child.exitCode ?? (await new Promise<number | null>((resolve) => child.once("close", resolve)));
  const [, peak] = /\npeak (\d+)\n$/.exec(stderr) ?? [];
  return { exitCode, answer: JSON.parse(stdout), stderr: stderr.replace(/\npeak \d+\n$/, ""), peakKib: Number(peak) };
}

const MEASURED = `
import resource, subprocess, sys
code = subprocess.run([sys.executable, "-I", "-B", sys.argv[1]]).returncode
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(f"\\npeak {peak}", file=sys.stderr)
sys.exit(code)
`;

async function text(stream: NodeJS.ReadableStream): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString("utf8");
}

export interface Listening extends AsyncDisposable {
  readonly server: Server;
  readonly port: number;
  readonly url: string;
}

export async function listen(listener: RequestListener): Promise<Listening> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    server,
    port,
    url: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
