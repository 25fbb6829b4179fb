import { createHash } from "node:crypto";
import { PaddockError } from "../../src/errors/error.ts";
import type { CallSite, OpenPlace, Place } from "../../src/executor/place.ts";
import type { CallScope, TaskScope } from "../../src/executor/scope.ts";
import { runToolCall } from "../../src/executor/tool-call.ts";
import type { ToolTarget } from "../../src/tools/target.ts";

const NO_EVIDENCE = { before: {}, after: {}, egress: [], outputExceeded: false, diskFull: false, peakIsOwn: false };

/** A place without a sandbox: file tools work on what is in memory, and fail for good or `passing` times first. */
export class MemoryPlace implements Place {
  readonly facts = { place: "memory" };
  readonly openMs = 60 * 60 * 1000;
  readonly files = new Map<string, Buffer>();
  /** What happened, in order. */
  readonly steps: string[] = [];
  passing = 0;
  onOpen: (task: TaskScope) => void = () => undefined;
  onRun: (call: CallScope) => void = () => undefined;

  async open(task: TaskScope): Promise<OpenPlace> {
    this.steps.push("open");
    this.onOpen(task);
    return {
      leaseMs: 0,
      run: (call) => runToolCall(call, this.#makeSite(call)),
      finish: async () => void this.steps.push("finish"),
      close: async () => void this.steps.push("close"),
    };
  }

  #makeSite(call: CallScope): CallSite {
    return {
      attempt: async () => {
        this.onRun(call);
        const context = { ...call, target: this.#makeTarget(), deadlineMs: 1000 };
        const outcome = await call.tool.run(call.call.input, context);
        const fails = this.passing-- > 0 ? { exitCode: 1, retryable: true } : {};
        call.clock.mark("run");
        return { ...NO_EVIDENCE, outcome: { ...outcome, ...fails }, timeoutMs: 1000 };
      },
      backOff: async () => true,
      end: async () => ({ sandboxId: null, isolation: null, egress: [], networkMs: 0, changes: undefined }),
    };
  }

  #makeTarget(): ToolTarget {
    const refuse = (): Promise<never> => Promise.reject(new PaddockError("unsupported", "nothing runs in memory"));
    const read = async (path: string): Promise<Buffer> => {
      const bytes = this.files.get(path);
      if (bytes === undefined) throw new PaddockError("not_found", `${path} is not there`);
      return bytes;
    };
    return {
      settings: { workspacePath: "/" },
      ...{ runProcess: refuse, startProcess: refuse, runCode: refuse, connect: refuse },
      files: {
        read,
        readTo: async (path, sink) => {
          const bytes = await read(path);
          await sink(bytes);
          return { size: bytes.length, bytes: bytes.length, transferred: { sent: 0, received: bytes.length } };
        },
        write: async (path, content) => {
          const bytes = Buffer.from(content);
          this.files.set(path, bytes);
          const sha256 = createHash("sha256").update(bytes).digest("hex");
          return { bytes: bytes.length, sha256, created: true, transferred: { sent: bytes.length, received: 0 } };
        },
        list: async () => ({ entries: [], truncated: false }),
        remove: async (path) => (this.files.delete(path) ? 1 : 0),
      },
    };
  }
}
