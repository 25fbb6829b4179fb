import { posix } from "node:path";
import { PaddockError } from "../errors/error.ts";
import type { ToolCallId } from "../model/ids.ts";
import type { FileEntry } from "../sandbox/channel/messages.ts";
import type { CodeOptions, ProcessOptions, RunOptions } from "../sandbox/process.ts";
import type { ToolFiles, ToolTarget } from "../tools/target.ts";
import { WORKSPACE } from "./ractor/paths.ts";
import { keptOutput, type RunResult, type RunSpec } from "./run-spec.ts";

/** Where the operations of a tool go: to a plan that only notes them, or to what the server did. */
export interface RemoteBackend {
  run(spec: RunSpec): Promise<RunResult>;
  /** Absolute path. */
  readFile(path: string): Promise<Buffer>;
  list(path: string, depth: number, limit: number): Promise<{ entries: readonly FileEntry[]; truncated: boolean }>;
}

const absolute = (path: string): string => posix.resolve(WORKSPACE, path);

/** What tools work on, on a foreign server. What such a server cannot do is `unsupported`. */
export function makeRemoteTarget(backend: RemoteBackend, callId: ToolCallId, outputBytes: number): ToolTarget {
  const collect = posix.join(WORKSPACE, ".paddock", `${callId}.json`);
  const run = async (spec: RunSpec) => {
    const result = await backend.run(spec);
    return { result, ...describeRun(result, outputBytes) };
  };
  const processSpec = (options: ProcessOptions, stdin: string | Buffer | undefined): RunSpec => ({
    op: "process",
    argv: options.argv,
    collect,
    ...programFields(options, outputBytes),
    stdin: Buffer.from(stdin ?? "").toString("base64"),
    background: options.background ?? false,
  });
  return {
    settings: { workspacePath: WORKSPACE },
    runProcess: (options: ProcessOptions, stdin?: string | Buffer) => run(processSpec(options, stdin)),
    startProcess: async (options: ProcessOptions) => {
      const ran = await run(processSpec(options, undefined));
      return { pid: ran.result.pid ?? 0, done: Promise.resolve(ran) };
    },
    runCode: async (options: CodeOptions) => {
      if (options.context !== undefined) throw unsupported("contexts that keep variables between runs");
      const { language, code, file = language === "python" ? "main.py" : "main.js" } = options;
      const ran = await run({ op: "code", language, code, file, ...programFields(options, outputBytes) });
      const report = {
        ...ran.report,
        value: ran.result.value ?? null,
        error: null,
        truncated: false,
        memory_shared: false,
      };
      return { ...ran, report };
    },
    connect: () => Promise.reject(unsupported("ports")),
    files: makeFiles(backend, collect),
  };
}

const unsupported = (what: string): PaddockError =>
  new PaddockError("unsupported", `a remote server has no ${what}`, { hint: "Run the task locally (docs/remote.md)." });

function programFields(options: RunOptions, outputBytes: number) {
  return {
    cwd: absolute(options.cwd ?? "."),
    env: options.env ?? {},
    stdin: "",
    background: false,
    timeout_ms: Math.ceil(options.deadlineMs ?? 60_000),
    output_bytes: outputBytes,
  };
}

/** A run as tools expect it. Usage is not known; the caller leaves these zeros out. */
function describeRun(result: RunResult, outputBytes: number) {
  const stream = { bytes: 0, dropped: 0, spill: null };
  return {
    ended: result.ended,
    stdout: keptOutput(result.stdout, outputBytes),
    stderr: keptOutput(result.stderr, outputBytes),
    bytes: { sent: 0, received: 0 },
    sandboxKilled: false,
    rich: [],
    report: {
      op: "done" as const,
      reason: result.ended,
      exit_code: result.exit_code,
      signal: result.signal,
      user_us: 0,
      system_us: 0,
      max_rss_bytes: 0,
      duration_us: 0,
      stdout: stream,
      stderr: stream,
      killed: 0,
      survivors: 0,
      shared: false,
    },
  };
}

function makeFiles(backend: RemoteBackend, collect: string): ToolFiles {
  const read = (path: string) => backend.readFile(absolute(path));
  return {
    read,
    readTo: async (path, sink, options = {}) => {
      const whole = await read(path);
      const begin = options.offset ?? 0;
      const part = whole.subarray(begin, begin + (options.length ?? whole.length));
      if (part.length > 0) await sink(part);
      return { bytes: part.length, size: whole.length, transferred: { sent: 0, received: part.length } };
    },
    list: (path, options) => backend.list(absolute(path), options.depth, options.limit),
    write: async (path, content, options) => {
      const { mode = 0o644, append = false, exclusive = false } = options;
      const bytes = Buffer.from(content);
      const result = await backend.run({
        op: "write",
        path,
        content: bytes.toString("base64"),
        mode,
        append,
        exclusive,
      });
      assertDone(result, path);
      if (result.written === undefined)
        throw new PaddockError("remote_failed", `${path}: the runner did not say what it wrote`);
      return { ...result.written, transferred: { sent: bytes.length, received: 0 } };
    },
    remove: async (path, options) => {
      // The runner has removed what it collected.
      if (path === collect) return 1;
      const result = await backend.run({ op: "remove", path, recursive: options.recursive ?? false });
      assertDone(result, path);
      return result.removed ?? 0;
    },
  };
}

function assertDone(result: RunResult, path: string): void {
  if (result.exit_code === 0) return;
  const words = Buffer.from(result.stderr.head, "base64").toString("utf8").trim();
  throw new PaddockError(result.missing ? "not_found" : "file_error", `${path}: ${words === "" ? "failed" : words}`);
}
