import { type ChildProcess, spawn } from "node:child_process";
import { ERROR_CODES, type ErrorCode } from "../../errors/codes.ts";
import { PaddockError } from "../../errors/error.ts";
import { BoundedOutput } from "../../lib/bounded-output.ts";

const HEADER_BYTES = 4;
const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;
const STDERR_BYTES = 16 * 1024;

export type Reply = Readonly<Record<string, unknown>>;

interface Waiting {
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: Error) => void;
}

/** The error that a refusal of the launcher stands for. */
function makeRefusal(reply: Reply): PaddockError {
  const code = String(reply["code"]);
  const known: ErrorCode = Object.hasOwn(ERROR_CODES, code) ? (code as ErrorCode) : "create_failed";
  const step = String(reply["step"]);
  const left = typeof reply["left"] === "string" ? { left: reply["left"] } : {};
  return new PaddockError(known, `${step}: ${String(reply["message"])}`, { context: { step, ...left } });
}

/** Why the launcher could not remove all that a refused request had made; undefined where nothing is left. */
export function findLeft(error: unknown): PaddockError | undefined {
  const left = error instanceof PaddockError ? error.context["left"] : undefined;
  return typeof left === "string" ? new PaddockError("internal", left) : undefined;
}

/** The resident launcher: requests and answers by length-prefixed JSON over its standard input and output. */
export class LauncherProcess {
  readonly pid: number;
  /** Resolves with a text for people once the process is gone. */
  readonly exited: Promise<string>;
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  readonly #onEnded: (id: string, detail: string) => void;
  readonly #stderr = new BoundedOutput(STDERR_BYTES);
  #pending: Buffer = Buffer.alloc(0);
  #nextRequest = 1;
  #gone: string | undefined;

  private constructor(child: ChildProcess, onEnded: (id: string, detail: string) => void) {
    this.#child = child;
    this.#onEnded = onEnded;
    this.pid = child.pid ?? -1;
    child.stdout?.on("data", (chunk: Buffer) => this.#receive(chunk));
    child.stderr?.on("data", (chunk: Buffer) => this.#stderr.push(chunk));
    child.stdin?.on("error", () => undefined);
    const { promise, resolve } = Promise.withResolvers<string>();
    this.exited = promise;
    const end = (detail: string): void => resolve(this.#end(detail));
    child.once("error", (error) => end(error.message));
    child.once("close", (code, signal) => end(signal ?? `exit code ${String(code)}`));
  }

  /** Starts it in a session of its own, so that a terminal's interrupt reaches its owner only. */
  static start(python: string, folder: string, onEnded: (id: string, detail: string) => void): LauncherProcess {
    const child = spawn(python, ["-I", "-S", "-B", folder], {
      stdio: ["pipe", "pipe", "pipe"],
      detached: true,
      env: {},
      cwd: "/",
    });
    return new LauncherProcess(child, onEnded);
  }

  get isGone(): boolean {
    return this.#gone !== undefined;
  }

  async request(op: string, body: Readonly<Record<string, unknown>>): Promise<Reply> {
    if (this.#gone !== undefined) throw new PaddockError("create_failed", `the launcher is gone: ${this.#gone}`);
    const request = this.#nextRequest++;
    const { promise, resolve, reject } = Promise.withResolvers<Reply>();
    this.#waiting.set(request, { resolve, reject });
    this.send({ op, request, ...body });
    return promise;
  }

  /** A message that has no answer. */
  send(message: Readonly<Record<string, unknown>>): void {
    const payload = Buffer.from(JSON.stringify(message));
    const frame = Buffer.allocUnsafe(HEADER_BYTES + payload.length);
    frame.writeUInt32BE(payload.length);
    payload.copy(frame, HEADER_BYTES);
    this.#child.stdin?.write(frame);
  }

  /** Ends it, and with it whatever it still owns. */
  async close(): Promise<void> {
    this.#child.stdin?.end();
    await this.exited;
  }

  #receive(chunk: Buffer): void {
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    while (this.#pending.length >= HEADER_BYTES) {
      const length = this.#pending.readUInt32BE();
      if (length > MAX_MESSAGE_BYTES) throw new PaddockError("internal", "the launcher sent an impossible length");
      if (this.#pending.length < HEADER_BYTES + length) return;
      const payload = this.#pending.subarray(HEADER_BYTES, HEADER_BYTES + length);
      this.#pending = this.#pending.subarray(HEADER_BYTES + length);
      this.#dispatch(JSON.parse(payload.toString("utf8")) as Reply);
    }
  }

  #dispatch(message: Reply): void {
    if (message["event"] === "ended") {
      this.#onEnded(String(message["id"]), String(message["detail"]));
      return;
    }
    const waiting = this.#waiting.get(Number(message["request"]));
    if (waiting === undefined) return;
    this.#waiting.delete(Number(message["request"]));
    if (message["ok"] === true) waiting.resolve(message);
    else waiting.reject(makeRefusal(message));
  }

  #end(detail: string): string {
    const text = this.#stderr.text().trim();
    this.#gone = text === "" ? detail : `${detail}: ${text}`;
    for (const { reject } of this.#waiting.values()) {
      reject(new PaddockError("create_failed", `the launcher is gone: ${this.#gone}`));
    }
    this.#waiting.clear();
    return this.#gone;
  }
}
