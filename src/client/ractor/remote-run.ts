import type { TaskPlan } from "../../executor/planner.ts";
import type { TaskSink } from "../../executor/sinks/task-sink.ts";
import type { Deadline } from "../../lib/deadline.ts";
import type { TaskId } from "../../model/ids.ts";
import type { Limits } from "../../model/limits.ts";
import type { ToolCallRecord } from "../../model/record.ts";
import type { CallValue } from "../../model/result.ts";
import type { TaskInput } from "../../model/task.ts";
import type { WireAccount } from "./account.ts";
import type { ClientTimes, RactorClient } from "./ractor-client.ts";

/** A Ractor server and how to be let in. */
export interface RemoteOptions {
  /** With or without `/api/v0`. */
  readonly url: string;
  readonly token?: string;
  /** In place of a token. */
  readonly operator?: { readonly name: string; readonly password: string };
  /** For the setup code, before the task's own time begins. Default 15 min. */
  readonly setupTimeoutMs?: number;
  /** What the server and its model may take per call, beside the call's own time, before nothing moving counts as stuck. Default 5 min. */
  readonly overheadMs?: number;
  readonly times?: Partial<ClientTimes>;
}

export interface RemoteRunOptions {
  readonly signal?: AbortSignal;
  /** Is told besides the journal. */
  readonly watcher?: TaskSink;
}

export interface Run {
  readonly taskId: TaskId;
  readonly task: TaskInput;
  readonly plan: TaskPlan;
  readonly limits: Limits;
  readonly client: RactorClient;
  readonly remote: RemoteOptions;
  readonly sink: Required<TaskSink>;
  readonly records: ToolCallRecord[];
  readonly values: CallValue[];
}

/** Where a task's calls run, and what it cost to get there. */
export interface Place {
  readonly agent: string;
  readonly account: WireAccount;
  readonly leaseMs: number;
  readonly deadline: Deadline;
}

/** Output comes at the end of a call: a server shows none while it runs. */
export async function closeCall(run: Run, record: ToolCallRecord, value: CallValue): Promise<void> {
  run.records.push(record);
  run.values.push(value);
  const callId = record.tool_call_id;
  for (const stream of ["stdout", "stderr"] as const) {
    const chunk = Buffer.from(record[stream].text);
    const shown = record.category === "subprocess" || record.category === "package";
    if (shown && chunk.length > 0) await run.sink.output({ type: "output", callId, stream, chunk });
  }
  await run.sink.call({ record, value });
}
