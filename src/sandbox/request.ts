import type { z } from "zod";
import type { ToolCallId } from "../model/ids.ts";
import type { Call, CallSinks } from "./call.ts";

export interface RequestFields {
  readonly op: string;
  readonly [field: string]: unknown;
}

/** Sends one request on a connection of its own. */
export type Request = <Done extends z.ZodType>(
  request: RequestFields,
  schema: Done,
  sinks?: CallSinks,
  callId?: ToolCallId,
) => Promise<Call<Done>>;
