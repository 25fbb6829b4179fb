import { parseUntrustedJson } from "../../lib/json.ts";
import { breach, type Frame } from "./frames.ts";

/** The control object of a frame, as untrusted JSON with an `op` text. */
export function readControl(frame: Frame): { readonly op: string } & Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = parseUntrustedJson(frame.payload.toString("utf8"));
  } catch (cause) {
    throw breach(`a control frame is no JSON (${cause instanceof Error ? cause.message.slice(0, 80) : "unreadable"})`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw breach("a control frame is no object");
  const control = value as Record<string, unknown>;
  if (typeof control["op"] !== "string") throw breach("a control frame has no op");
  return control as { op: string } & Record<string, unknown>;
}
