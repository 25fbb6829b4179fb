import { readdir } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { PaddockError } from "../../errors/error.ts";
import { isVolumeId, type VolumeId } from "../../model/ids.ts";
import { isWorkspaceInUse, type Volumes } from "../driver.ts";
import type { Reply } from "./launcher-process.ts";
import type { HostStorage } from "./storage.ts";

/** How long a workspace in use is waited for: its last sandbox may be going just now. */
const IN_USE_MS = 2000;
const FIRST_RETRY_MS = 2;
const LAST_RETRY_MS = 50;

/** Asks again while the launcher says that the workspace is in use. */
export async function whileInUse<T>(ask: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  const deadline = performance.now() + IN_USE_MS;
  for (let delayMs = FIRST_RETRY_MS; ; delayMs = Math.min(delayMs * 2, LAST_RETRY_MS)) {
    try {
      return await ask();
    } catch (error) {
      if (!isWorkspaceInUse(error) || performance.now() > deadline) throw error;
    }
    await sleep(delayMs, undefined, signal && { signal });
  }
}

/** The volumes of a data folder. The launcher makes and removes them, under their locks. */
export class HostVolumes implements Volumes {
  readonly #storage: HostStorage;
  readonly #request: (op: string, body: Readonly<Record<string, unknown>>) => Promise<Reply>;

  constructor(storage: HostStorage, request: (op: string, body: Readonly<Record<string, unknown>>) => Promise<Reply>) {
    this.#storage = storage;
    this.#request = request;
  }

  async make(id: VolumeId, bytes: number): Promise<void> {
    assertVolumeId(id);
    const blank = this.#storage.kind === "image" ? await this.#storage.blanks.get(bytes) : null;
    await whileInUse(() => this.#request("makeVolume", { id, bytes, blank }));
  }

  async remove(id: VolumeId): Promise<void> {
    assertVolumeId(id);
    await whileInUse(() => this.#request("removeVolume", { id }));
  }

  async list(): Promise<readonly VolumeId[]> {
    return (await readdir(this.#storage.home.workspaces)).filter((name) => isVolumeId(name));
  }
}

/** Folders are named by it. */
function assertVolumeId(id: string): void {
  if (!isVolumeId(id)) throw new PaddockError("invalid_request", `${JSON.stringify(id)} is no volume's id`);
}
