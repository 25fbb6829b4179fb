import { PaddockError } from "../../errors/error.ts";
import { describeBody } from "./reply-schemas.ts";
import type { WireReply } from "./wire.ts";

/** What a refusal means to the caller; stands as `context.kind` of the error. */
export type RefusalKind =
  | "busy"
  | "context_full"
  | "asleep"
  | "conflict"
  | "missing"
  | "gateway"
  | "server"
  | "request"
  | "denied";

const GATEWAY: ReadonlySet<number> = new Set([502, 503, 504]);

/** A reply that is no success, as error. 409 is told apart by its words: the contract has no codes. */
export function refusal(reply: WireReply, what: string): PaddockError {
  const { status } = reply;
  const words = describeBody(reply);
  const message = `${what}: ${status}${words === "" ? "" : ` ${words}`}`;
  const make = (code: ConstructorParameters<typeof PaddockError>[0], kind: RefusalKind, hint?: string): PaddockError =>
    new PaddockError(code, message, { context: { kind, status }, ...(hint === undefined ? {} : { hint }) });
  if (status === 401) return make("unauthorized", "denied");
  if (status === 403)
    return make("unauthorized", "denied", "The token is valid but may not do this; use its owner's or an admin's.");
  if (status === 404)
    return make("not_found", "missing", "The server has nothing of this name; it may have been deleted.");
  if (status === 409) return conflict(words, make);
  if (status === 413)
    return make("remote_failed", "request", "The server or its gateway takes no body or file of this size.");
  if (GATEWAY.has(status)) return make("remote_unavailable", "gateway");
  return make("remote_failed", status >= 500 ? "server" : "request");
}

function conflict(
  words: string,
  make: (code: "capacity" | "remote_failed", kind: RefusalKind, hint?: string) => PaddockError,
): PaddockError {
  if (/context is full/i.test(words))
    return make("remote_failed", "context_full", "Clear the agent's context, or use a new agent.");
  if (/busy/i.test(words))
    return make("capacity", "busy", "The agent runs another task; wait for it or use another agent.");
  if (/sleeping/i.test(words)) return make("remote_failed", "asleep", "Wake the agent first.");
  return make("remote_failed", "conflict");
}

export function kindOf(error: unknown): string | undefined {
  if (!(error instanceof PaddockError)) return undefined;
  const kind = error.context["kind"];
  return typeof kind === "string" ? kind : undefined;
}

/**
 * Nobody knows whether the server acted: no whole answer came, a gateway spoke in its place, or it was none of the
 * contract's.
 */
export function isUncertain(error: unknown): boolean {
  if (!(error instanceof PaddockError)) return false;
  return error.code === "remote_unavailable" || error.code === "timeout";
}
