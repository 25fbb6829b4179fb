/** One request to a remote server as it was measured on the wire. */
export interface WireRequest {
  readonly method: string;
  readonly path: string;
  readonly start_time: string;
  /** Absent when no whole answer came. */
  readonly status?: number;
  /** Making a new connection; 0 when one was there. */
  readonly connect_ms: number;
  /** From then to the head of the answer. */
  readonly wait_ms: number;
  readonly transfer_ms: number;
  /** Bytes of the bodies, without headers. */
  readonly sent_bytes: number;
  readonly received_bytes: number;
  /** Code of the error in place of an answer. */
  readonly error?: string;
}

/** What a call's record says when it ran on a remote server. */
export interface RemoteRecord {
  readonly url: string;
  readonly agent: string;
  /** The server's ids of the responses that carried the call, one per time it was asked. */
  readonly response_ids: readonly string[];
  /**
   * Where return code, output and times come from: `runner` (our program on the server wrote them down), `segments`
   * (the server's own tool result), `files` (the server's file interface), `server` (a server that keeps records
   * itself), `none` (nothing came back).
   */
  readonly source: "runner" | "segments" | "files" | "server" | "none";
  /** Duration of the work itself as the runner reports it; absent when nobody measured it. */
  readonly run_ms?: number;
  /** Fields of the record that nobody could measure: their zeros and empty lists mean nothing. */
  readonly unknown: readonly string[];
  /** Parts of the task that a foreign server does not hold: stated, never assumed. */
  readonly not_enforced: readonly string[];
  /** The first requests of the call; `requests_more` counts the rest, the totals hold them all. */
  readonly requests: readonly WireRequest[];
  readonly requests_more: number;
  readonly connect_ms: number;
  readonly wait_ms: number;
  readonly transfer_ms: number;
  readonly sent_bytes: number;
  readonly received_bytes: number;
  /** Waits after "busy" and failures, in order. */
  readonly backoff_ms: readonly number[];
}

/** Nothing is known of what stands between the guest and a foreign host. */
export interface RemoteIsolation {
  readonly driver: "ractor";
  readonly runtime: "unknown";
  readonly version: "unknown";
  readonly kernel: "unknown";
  readonly seccomp: "unknown";
  readonly limits: { readonly mode: "unknown"; readonly workspace: "unknown" };
  readonly template?: never;
  readonly image?: never;
}
