import type { ResponseStatus, Segment } from "../../model/response.ts";

/**
 * What happens to a response, in order. `id` is `<segments so far>.<events since the last of them>`: segments are
 * stored, so a reader can go on after any id, also after a restart of the server; output between segments is held in
 * memory up to 1 MiB and only while the response runs.
 */
export type LiveEvent = { readonly id: string } & (
  | { readonly type: "status"; readonly status: ResponseStatus; readonly at: string }
  /** `sandbox`, `setup`, `run`, `call`: what begins now. */
  | { readonly type: "phase"; readonly phase: string; readonly at: string; readonly detail?: string }
  /** A piece of a call's stream; bytes that are no UTF-8 are replaced. */
  | {
      readonly type: "output";
      readonly tool_call_id: string;
      readonly stream: "stdout" | "stderr";
      readonly text: string;
    }
  /** Output that this reader was too late or too slow for. The record still has head and tail of it. */
  | { readonly type: "gap"; readonly bytes: number }
  /** `number` counts from 1. `tool_result` segments carry the `record`. */
  | { readonly type: "segment"; readonly number: number; readonly segment: Segment }
  /** The last one. The response itself is at its own address. */
  | { readonly type: "done"; readonly status: ResponseStatus; readonly at: string }
);
