import type { ToolOutcome } from "./tool.ts";

/** pip and npm pass the proxy's status line on: pip as `Tunnel connection failed: 403 ...`, npm as `403 ...`. */
const DENIED = /\b403 Egress denied/;

/** The scratch folder is gone when the executor looks for free space. */
const DISK = /\bNo space left on device\b|\bnpm error code (?:ENOSPC|EDQUOT)\b/;

/**
 * Exit codes of pip and npm do not tell why they failed, so their texts are the last resort here. The
 * executor's egress record of the call is evidence and wins where it says more.
 */
const TRANSIENT = [
  /\bnpm error code (?:ECONNRESET|ECONNREFUSED|ETIMEDOUT|ERR_SOCKET_TIMEOUT|EAI_AGAIN|ENOTFOUND|EIDLETIMEOUT|ENETUNREACH|EPIPE|EPROTO|E429|E5\d\d|FETCH_ERROR)\b/,
  /\bnpm error network\b/,
  /\b(?:ReadTimeoutError|ConnectTimeoutError|NewConnectionError|ProtocolError|IncompleteRead|RemoteDisconnected|ConnectionResetError)\b/,
  /\bTunnel connection failed: 5\d\d\b/,
  /\b(?:429|5\d\d) (?:Server|Client) Error\b/,
];

/** Facts to add to a failed installer run: denied by policy, no space, worth another try, or nothing. */
export function findInstallerFailure(output: string): Pick<ToolOutcome, "verdict" | "retryable"> {
  if (DENIED.test(output)) return { verdict: "denied" };
  if (DISK.test(output)) return { verdict: "disk" };
  return TRANSIENT.some((pattern) => pattern.test(output)) ? { retryable: true } : {};
}
