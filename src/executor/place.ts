import type { SandboxId } from "../model/ids.ts";
import type { EgressRecord, RecordedError, ToolCallRecord } from "../model/record.ts";
import type { DiffEntry } from "../sandbox/channel/messages.ts";
import type { ToolFiles } from "../tools/target.ts";
import type { CallScope, TaskScope } from "./scope.ts";
import type { CallEnd } from "./sinks/task-event.ts";
import type { Evidence } from "./verdict.ts";

/** Where the calls of a task run: a sandbox of its own, one that is there already, another server. */
export interface Place {
  /** What the task's intent says of it. */
  readonly facts?: object;
  /** How long opening may take, where that is not the task's own time: the task's begins when the place is open. */
  readonly openMs?: number;
  /** Makes it ready for one task. Leaves nothing behind when it throws. */
  open(task: TaskScope): Promise<OpenPlace>;
}

/** A place that is ready for the calls of one task, one after another. */
export interface OpenPlace {
  /** What opening took; booked to the first call. */
  readonly leaseMs: number;
  /** Absent where artifacts cannot be read. */
  readonly files?: Pick<ToolFiles, "readTo">;
  /** Runs a call to its record. Undefined when the place can run no more. */
  run(call: CallScope): Promise<CallEnd | undefined>;
  /** Before it is closed, also when a call failed; not after an error of the platform. */
  finish?(records: readonly ToolCallRecord[]): Promise<void>;
  /** Gives back what was opened, whatever happened. */
  close?(): Promise<void>;
}

/** What came of one try: the outcome with the place's evidence around it. */
export interface Tried extends Evidence {
  readonly timeoutMs: number;
  /** The memory peak in `after` belongs to this try alone. */
  readonly peakIsOwn: boolean;
  /** How the place explains an end that the verdict does not. */
  readonly reason?: RecordedError | undefined;
}

/** One call at its place. */
export interface CallSite {
  /**
   * Tries the tool once. Throws what the platform is to blame for; a guest's failure is an outcome. `number` counts
   * from 1.
   */
  attempt(number: number): Promise<Tried>;
  /** Waits before another try, after `failed` of them. False when there can be none. */
  backOff(failed: number): Promise<boolean>;
  /** What the place knows of the call. Asked once, after the last try, whatever happened. */
  end(): Promise<PlaceFacts>;
}

/** What the place of a call knows of it. */
export interface PlaceFacts {
  readonly sandboxId: SandboxId | null;
  readonly isolation: ToolCallRecord["isolation"];
  readonly egress: readonly EgressRecord[];
  readonly networkMs: number;
  /** Undefined when the workspace could not be examined. */
  readonly changes: { readonly changes: readonly DiffEntry[]; readonly more: number } | undefined;
  /** What it has measured in its own way. */
  readonly measured?: Partial<ToolCallRecord>;
}
