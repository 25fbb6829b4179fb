import type { ResponseRow } from "../../model/response.ts";
import type { Fence } from "./responses.ts";

/** Which process answers for the agents of a data folder. */
export interface ReignStore {
  /**
   * Begins the reign of this process over the agents of a data folder: every claim of an earlier one is fenced from now
   * on. Returns the number of the reign.
   */
  beginReign(nodeId: string, url: string | null): Promise<number>;
  /** Where a data folder's server was last reached; undefined when unknown. */
  findNodeUrl(nodeId: string): Promise<string | undefined>;
  /** The claimed responses of earlier reigns, as the proof to end or requeue them. */
  takeOverClaims(
    nodeId: string,
    reign: number,
  ): Promise<readonly { readonly row: ResponseRow; readonly fence: Fence }[]>;
}
