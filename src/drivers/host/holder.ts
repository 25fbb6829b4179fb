import { PaddockError } from "../../errors/error.ts";
import type { SandboxId } from "../../model/ids.ts";
import type { ProbeFinding, ReapReport } from "../driver.ts";
import type { AdoptedHold, Held, HeldFacts, HolderOptions, HoldRequest, RemoveOptions } from "./holder-types.ts";

export type * from "./holder-types.ts";

const notYet = (): never => {
  throw new PaddockError("unsupported", "the holder is not there yet");
};

/**
 * The host's side of sandboxes that a container engine makes: owner record and lock, uid, workspace, removal, reaping and adoption. One
 * launcher process per holder; its death, or ours, removes every sandbox that is held without `adoption`.
 */
export class Holder implements AsyncDisposable {
  /** What was found on the way; none of them has failed. */
  readonly findings: readonly ProbeFinding[] = [];

  /** Prepares the data folder and starts the launcher. Throws `driver_unavailable` with the reason. */
  static async open(_options: HolderOptions): Promise<Holder> {
    return notYet();
  }

  /**
   * Writes the record under its lock, then takes uid and workspace and gives them the socket. The order of a create is `hold`, engine
   * create and start, `started`. Throws `create_failed`, `no_space`, `capacity`, and leaves nothing then. An abandoned create ends with `remove`.
   */
  async hold(_request: HoldRequest): Promise<Held> {
    return notYet();
  }

  /** The container runs. The launcher lets go of the loop device, which from now on lives as long as its mount, and puts the facts into the record. */
  async started(_id: SandboxId, _facts: HeldFacts): Promise<void> {
    return notYet();
  }

  /**
   * Waits until the container's processes and its loop device are gone, then removes workspace, uid and record. Idempotent. Throws
   * `engine_unavailable` (with `containerRemoved: false`) or `internal`; the record then stays and a later call or reaper tries again.
   */
  async remove(_id: SandboxId, _options: RemoveOptions): Promise<void> {
    return notYet();
  }

  /**
   * Takes a dead owner's lock and with it the sandbox. The driver then compares container id, labels, generation and start time with the engine,
   * and calls `remove` where they disagree. Throws `not_found`, or `adoption_refused` where an owner lives or the container cannot be adopted.
   */
  async adopt(_id: SandboxId): Promise<AdoptedHold> {
    return notYet();
  }

  /** Removes what dead owners of any driver left in this data folder. */
  async reap(): Promise<ReapReport> {
    return notYet();
  }

  /** Ids that have an owner record now, living or dead. What lacks one may be removed by label. */
  async listOwners(): Promise<ReadonlySet<string>> {
    return notYet();
  }

  /** Ends the launcher. Held sandboxes without `adoption` are removed, the others wait for their next owner. */
  async [Symbol.asyncDispose](): Promise<void> {}
}
