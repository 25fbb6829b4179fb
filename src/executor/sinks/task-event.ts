import type { TaskId, ToolCallId } from "../../model/ids.ts";
import type { NodeType } from "../../model/node-type.ts";
import type { ToolCallRecord } from "../../model/record.ts";
import type { CallValue } from "../../model/result.ts";

/** How a call ended. */
export interface CallEnd {
  readonly record: ToolCallRecord;
  readonly value: CallValue;
}

/** How far a task is. */
export type ProgressEvent =
  | {
      readonly type: "task_started";
      readonly taskId: TaskId;
      readonly nodeType: NodeType;
      readonly calls: number;
      readonly source: string;
    }
  | { readonly type: "progress"; readonly message: string }
  | { readonly type: "sandbox_ready"; readonly sandboxId: string; readonly createMs: number }
  | {
      readonly type: "call_started";
      readonly callId: ToolCallId;
      readonly tool: string;
      readonly title: string;
      readonly index: number;
      /** As planned and checked. */
      readonly input: unknown;
    };

export interface OutputEvent {
  readonly type: "output";
  readonly callId: ToolCallId;
  readonly stream: "stdout" | "stderr";
  readonly chunk: Buffer;
}

/** What happens while a task runs, in order. */
export type TaskEvent = ProgressEvent | OutputEvent | ({ readonly type: "call_finished" } & CallEnd);
