import type { ClientTimes } from "./ractor-client.ts";

/** A Ractor server and how to be let in. */
export interface RemoteOptions {
  /** With or without `/api/v0`. */
  readonly url: string;
  readonly token?: string;
  /** In place of a token. */
  readonly operator?: { readonly name: string; readonly password: string };
  /** For the setup code, before the task's own time begins. Default 15 min. */
  readonly setupTimeoutMs?: number;
  /**
   * What the server and its model may take per call, beside the call's own time, before nothing moving counts as stuck.
   * Default 5 min.
   */
  readonly overheadMs?: number;
  readonly times?: Partial<ClientTimes>;
}
