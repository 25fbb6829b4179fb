import type { EgressProxy } from "../../../src/network/proxy/proxy.ts";
import type { SandboxHost } from "../../../src/sandbox/host.ts";
import type { ProcessOptions, ProcessResult } from "../../../src/sandbox/process.ts";
import type { Sandbox } from "../../../src/sandbox/sandbox.ts";

const PYTHON = ["/usr/bin/python3", "-I", "-c"];
const DEADLINE_MS = 45_000;

/** A living sandbox, with short ways to run things in it. */
export class Guest implements AsyncDisposable {
  readonly sandbox: Sandbox;
  readonly proxy: EgressProxy;

  constructor(sandbox: Sandbox, proxy: EgressProxy) {
    this.sandbox = sandbox;
    this.proxy = proxy;
  }

  get id(): string {
    return this.sandbox.id;
  }

  get host(): SandboxHost {
    return this.sandbox.host;
  }

  /** Runs a command to its end. */
  async run(argv: readonly string[], options: Partial<ProcessOptions> = {}): Promise<ProcessResult> {
    return await this.sandbox.runProcess({ deadlineMs: DEADLINE_MS, ...options, argv });
  }

  /** Runs Python and returns what it leaves in `result`. Throws with its traceback. */
  async python<T>(code: string, options: Partial<ProcessOptions> = {}): Promise<T> {
    const program = `${code}\nimport json as _json\nprint("\\nRESULT " + _json.dumps(result))`;
    const run = await this.run([...PYTHON, program], options);
    const line = run.stdout.text.split("\n").findLast((text) => text.startsWith("RESULT "));
    if (line === undefined) throw new Error(`no result: ${describeRun(run)}`);
    return JSON.parse(line.slice("RESULT ".length)) as T;
  }

  /** Starts Python and does not wait for its end. */
  startPython(code: string, options: Partial<ProcessOptions> = {}): ReturnType<Sandbox["startProcess"]> {
    return this.sandbox.startProcess({ ...options, argv: [...PYTHON, code] });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.sandbox.close();
    await this.proxy[Symbol.asyncDispose]();
  }
}

export function describeRun(run: ProcessResult): string {
  const { ended, report, error, stderr } = run;
  return JSON.stringify({ ended, exit: report?.exit_code, signal: report?.signal, error: error?.message, stderr });
}
