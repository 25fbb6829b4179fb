import { ERROR_CODES, type ErrorCode, isErrorCode } from "./codes.ts";

const ASK = "Ask who runs the server; its log has the cause.";

/** For who asks over HTTP, in place of the table's hints that speak of the command line or to who runs the machine. */
const HTTP_HINTS: Partial<Record<ErrorCode, string>> = {
  invalid_request: "Correct the named field; /docs shows what each route takes.",
  not_found: "Check the name or id in the path.",
  unauthorized: "Send `Authorization: Bearer <token>`; docs/service.md says where tokens come from.",
  no_space: "Ask who runs the server for disk space, or use an agent with a smaller workspace.",
  capacity: "Wait for other sandboxes to end, or use an agent with smaller limits.",
  create_failed: "The sandbox did not start. Try again; if that does not help, ask who runs the server.",
  sandbox_lost: "The sandbox ended while it was in use. The next task gets a new one.",
  sandbox_closed: "The sandbox has ended. The next task gets a new one.",
  unsupported: "The server's driver does not offer the feature.",
  engine_unavailable: ASK,
  engine_failed: ASK,
  image_missing: ASK,
  image_failed: ASK,
  template_missing: ASK,
  template_failed: ASK,
  template_corrupt: ASK,
  registry_unreachable: ASK,
  artifact_failed: ASK,
};

/** The hint for who asks over HTTP. One that the place of failure gave stays. */
export function hintForHttp({ code, hint }: { readonly code: string; readonly hint: string }): string {
  if (!isErrorCode(code) || hint !== ERROR_CODES[code].hint) return hint;
  return HTTP_HINTS[code] ?? hint;
}
