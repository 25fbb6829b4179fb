import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, constants, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { findValue, parseExposition } from "./exposition.ts";

/** Lines of about 380 bytes: over 1.4 MB, more than a pipe and the buffer hold together. */
const REQUESTS = 4000;

interface Service extends AsyncDisposable {
  readonly process: ChildProcess;
  readonly url: string;
  post(count: number): Promise<void>;
  lost(): Promise<number | undefined>;
  /** Asks the process to end and resolves with its exit code once it did so by itself. */
  stop(): Promise<number | null>;
}

async function startService(stdout: "pipe" | number): Promise<Service> {
  const program = fileURLToPath(new URL("./blocked-service.ts", import.meta.url));
  const child: ChildProcess = spawn(process.execPath, [program], { stdio: ["ignore", stdout, "inherit", "ipc"] });
  const exited = once(child, "exit");
  const [port] = await once(child, "message");
  const url = `http://127.0.0.1:${port}`;
  return {
    process: child,
    url,
    post: async (count) => {
      for (let i = 0; i < count; i++) expect(await (await fetch(`${url}/${i}`)).text()).toBe("ok");
    },
    lost: async () => {
      const samples = parseExposition(await (await fetch(`${url}/metrics`)).text());
      return findValue(samples, "paddock_telemetry_lost_total", { kind: "log_line" });
    },
    stop: async () => {
      await fetch(`${url}/stop`, { method: "POST" });
      const [code] = await exited;
      return code;
    },
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
      await exited;
    },
  };
}

test("log sink - a pipe that nobody reads: the service answers, counts what it drops, and ends when told", async () => {
  const folder = mkdtempSync(join(tmpdir(), "paddock-fifo-"));
  execFileSync("mkfifo", [join(folder, "out")]);
  const pipe = openSync(join(folder, "out"), constants.O_RDWR);
  try {
    await using service = await startService(pipe);
    await service.post(REQUESTS);
    expect(await service.lost()).toBeGreaterThan(0);
    expect(await service.stop()).toBe(0);
  } finally {
    closeSync(pipe);
    rmSync(folder, { recursive: true });
  }
});

test("log sink - a socket whose reader comes back gets the lines that waited, and how many are missing", async () => {
  await using service = await startService("pipe");
  const { stdout } = service.process;
  await service.post(REQUESTS);
  const lost = await service.lost();
  expect(lost).toBeGreaterThan(0);
  let text = "";
  const hasReport = Promise.withResolvers<void>();
  stdout?.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
    if (text.includes('"log.dropped"') && text.endsWith("\n")) hasReport.resolve();
  });
  let isReported = false;
  void hasReport.promise.then(() => {
    isReported = true;
  });
  // Each line is one more look at whether there is room.
  while (!isReported) await service.post(1);
  expect(await service.stop()).toBe(0);
  const lines = text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as { op: string; request_id?: string; lines?: number });
  expect(lines[0]).toMatchObject({ op: "http.request", request_id: "/0" });
  const reported = lines.filter(({ op }) => op === "log.dropped").reduce((sum, one) => sum + (one.lines ?? 0), 0);
  expect(reported).toBeGreaterThanOrEqual(lost ?? 0);
});

test("log sink - a reader that left does not end the service", async () => {
  await using service = await startService("pipe");
  service.process.stdout?.destroy();
  await once(service.process.stdout ?? service.process, "close");
  await service.post(50);
  expect(await service.lost()).toBeGreaterThan(0);
  expect(await service.stop()).toBe(0);
});

test("log sink - a file gets every line, the last ones at the end of the process", async () => {
  const folder = mkdtempSync(join(tmpdir(), "paddock-log-"));
  const file = openSync(join(folder, "log"), "a");
  try {
    await using service = await startService(file);
    await service.post(100);
    expect(await service.stop()).toBe(0);
    const lines = readFileSync(join(folder, "log"), "utf8").trimEnd().split("\n");
    expect(lines.map((line) => (JSON.parse(line) as { request_id: string }).request_id)).toEqual(
      Array.from({ length: 100 }, (_, i) => `/${i}`),
    );
  } finally {
    closeSync(file);
    rmSync(folder, { recursive: true });
  }
});
