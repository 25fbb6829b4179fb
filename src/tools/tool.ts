import type { z } from "zod";
import type { PaddockError } from "../errors/error.ts";
import type { ToolCallId } from "../model/ids.ts";
import type { Limits } from "../model/limits.ts";
import type { NodeType } from "../model/node-type.ts";
import type { Category, InstalledDependency, OutputRecord } from "../model/record.ts";
import type { ToolCallInput } from "../model/task.ts";
import type { GuestErrorReport } from "../sandbox/channel/messages.ts";
import type { RichOutput } from "../sandbox/process.ts";
import type { ToolTarget } from "./target.ts";

/**
 * Whether a tool may run again after a failure: `idempotent` calls are retried when the cause is retryable,
 * `once` calls only when the platform failed before any guest byte ran.
 */
export type Idempotency = "idempotent" | "once";

/**
 * Signs a request for one object in the operator's name. What it returns may enter a sandbox; what signed it never
 * does.
 */
export interface ObjectAccess {
  /**
   * For five minutes. `bucket` undefined: the configured store, whose prefix is put before the key. Throws
   * `object_denied` unless the operator granted it, `unsupported` where no S3 is configured, and `artifact_failed`
   * without credentials.
   */
  sign(
    request: { readonly bucket: string | undefined; readonly key: string } & (
      | { readonly method: "GET" }
      | { readonly method: "PUT"; readonly bytes: number; readonly sha256: string }
    ),
  ): Promise<{
    readonly bucket: string;
    readonly key: string;
    readonly url: string;
    readonly headers: Readonly<Record<string, string>>;
  }>;
}

/** What a tool's handler gets besides its input. */
export interface ToolContext {
  readonly target: ToolTarget;
  readonly callId: ToolCallId;
  readonly nodeType: NodeType;
  readonly limits: Limits;
  /** Absent where nobody may sign. */
  readonly objects?: ObjectAccess | undefined;
  readonly signal: AbortSignal;
  /** Time left for this attempt. */
  readonly deadlineMs: number;
  readonly onOutput?: (stream: "stdout" | "stderr", chunk: Buffer) => void | Promise<void>;
  /** Books the time since the last mark to a phase; handlers call it where a transfer ends. */
  readonly mark: (phase: "transfer_in" | "run" | "transfer_out") => void;
}

/**
 * How one attempt of a tool ended. A guest's failure is a result; a handler throws only PaddockErrors of the platform
 * or of bad input.
 */
export interface ToolOutcome {
  readonly ended: "exit" | "deadline" | "cancel" | "lost";
  /** Absent when unknown. File tools report 0 when they did what they were asked. */
  readonly exitCode?: number;
  readonly signal?: string;
  readonly stdout: OutputRecord;
  readonly stderr: OutputRecord;
  readonly requestBytes: number;
  readonly responseBytes: number;
  /** The tool's own result as JSON: content, entries, status and headers, the value of the last expression. */
  readonly value?: unknown;
  readonly rich?: readonly RichOutput[];
  /** Structured exception of a code run. */
  readonly guestError?: GuestErrorReport;
  readonly dependencies?: readonly InstalledDependency[];
  /** Usage as `wait4` reports it. */
  readonly usage?: { readonly userUs: number; readonly systemUs: number; readonly maxRssBytes: number };
  readonly shared?: boolean;
  readonly memoryShared?: boolean;
  readonly sandboxKilled?: boolean;
  /** The platform's reason when `ended` is `lost`, the operator's when a tool was `denied` what it asked for. */
  readonly error?: PaddockError;
  /** The failure is of a kind that another try may cure (connection reset, HTTP 5xx, a server not up yet). */
  readonly retryable?: boolean;
  /** Where the tool knows the verdict better than the exit code tells (`denied`, `disk`). */
  readonly verdict?: "denied" | "disk";
}

/** A tool is a value; the CLI's listing, schemas and docs are derived from it. */
export interface Tool<Input = unknown> {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly category: Category;
  readonly input: z.ZodType<Input>;
  idempotency(input: Input): Idempotency;
  /** What the record shows as the command; no secrets, no file contents. */
  command(input: Input): readonly string[];
  run(input: Input, context: ToolContext): Promise<ToolOutcome>;
}

/** Keeps the input type while a tool is defined, and forgets it where tools are listed. */
export function defineTool<Input>(tool: Tool<Input>): Tool {
  return tool as unknown as Tool;
}

/** A call as a plan names it. */
export interface PlannedCall {
  readonly tool: string;
  readonly input: unknown;
  /** Shown in progress and reports; default: the tool's title. */
  readonly title?: string;
  /** Deadline of each attempt; default: the limit of the spec. */
  readonly timeoutMs?: number;
  /** Attempts for idempotent tools; default 3. */
  readonly attempts?: number;
  /** Go on with the plan when this call fails. Default false. */
  readonly continueOnFailure?: boolean;
}

/** The same as a task writes it. */
export function describeCall({
  tool,
  input,
  title,
  timeoutMs,
  attempts,
  continueOnFailure,
}: PlannedCall): z.infer<typeof ToolCallInput> {
  return {
    tool,
    input: input as Record<string, unknown>,
    ...(title === undefined ? {} : { title }),
    ...(timeoutMs === undefined ? {} : { timeout_ms: timeoutMs }),
    ...(attempts === undefined ? {} : { attempts }),
    ...(continueOnFailure === undefined ? {} : { continue_on_failure: continueOnFailure }),
  };
}
