import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { ImageName } from "../../drivers/driver.ts";
import { PaddockError, toPaddockError } from "../../errors/error.ts";
import { LockFile } from "../../lib/lock-file.ts";
import { makeOpenFolder } from "../../lib/open-folder.ts";
import { removeFolder } from "../../lib/remove-folder.ts";
import { NODE_TYPES } from "../../model/node-type.ts";
import type { SetupPlan } from "../../setup/plan.ts";
import { loadPlan } from "../../setup/plans.ts";
import { readHostDistribution } from "./bootstrap.ts";
import type { EnsureOptions, Environment, Environments, Template } from "./environments.ts";
import {
  buildBase,
  buildBootstrap,
  buildNode,
  HOME_LABEL,
  type ImageOptions,
  type ImageParts,
  identifyBase,
  identifyBootstrap,
  identifyNode,
  imagesFolder,
  isEmpty,
  nameHome,
} from "./image-build.ts";
import { describeBase, describeNode, writeContext } from "./image-context.ts";
import { type ImageEntry, ImageLock, type LockedName } from "./image-lock.ts";

export interface BuildOptions extends ImageOptions {
  /** Make the system below the base from this host's packages instead of pulling it. */
  readonly bootstrap?: boolean;
}

/**
 * `current`: what a node starts from now. `stale`: plan, supervisor, Node or base have changed. `missing`: the engine
 * lacks it.
 */
export type ImageState = "current" | "stale" | "missing";

export interface ListedImage {
  readonly image: ImageEntry;
  readonly state: ImageState;
}

/** Node images of one data folder: built once, named by immutable id in `images.json`. */
export class ImageStore implements Environments {
  readonly #parts: ImageParts;
  readonly #lock: ImageLock;
  readonly #ready = new Map<ImageName, Promise<Environment>>();

  constructor(parts: ImageParts) {
    this.#parts = parts;
    this.#lock = new ImageLock(parts.home);
  }

  async open(name: ImageName, options: EnsureOptions): Promise<Environment> {
    let ready = this.#ready.get(name);
    if (ready === undefined) {
      ready = this.#open(name, options);
      this.#ready.set(name, ready);
      ready.catch(() => this.#ready.delete(name));
    }
    return await ready;
  }

  forget(): void {
    this.#ready.clear();
  }

  /**
   * Builds images that are not current, and with `noCache` all of them. Throws `image_failed`, `registry_unreachable`,
   * `setup_failed`.
   */
  async build(name: ImageName, options: BuildOptions): Promise<ImageEntry> {
    this.forget();
    using _lock = await this.#hold(options);
    await this.#removeUnfinished();
    const base = await this.#ensureBase({ ...options, noCache: options.noCache === true && name === "base" });
    if (name === "base") return base;
    const plan = await loadPlan(name);
    const found = await this.#find(name, identifyNode(plan, base.id));
    if (found !== undefined && options.noCache !== true) return found;
    return this.#add(await buildNode(this.#parts, plan, base.id, options));
  }

  /** What `images.json` names, newest first. */
  async list(): Promise<readonly ListedImage[]> {
    const identities = await this.#currentIdentities();
    const listed = this.#lock.read().map(async (image): Promise<ListedImage> => {
      const isKnown = (await this.#parts.engine.inspect(image.id)) !== undefined;
      const isCurrent = image.name === "bootstrap" || identities.get(image.name) === image.identity;
      return { image, state: isKnown ? (isCurrent ? "current" : "stale") : "missing" };
    });
    return await Promise.all(listed);
  }

  /**
   * Removes images of this data folder that are not current. With `all` every one, and what killed builds of any data
   * folder left in the engine: a build that runs at that time fails, and works when it is tried again.
   */
  async prune(options: { readonly all: boolean; readonly signal: AbortSignal }): Promise<PruneReport> {
    this.forget();
    using _lock = await this.#hold({ signal: options.signal, onProgress: () => undefined });
    await this.#removeUnfinished();
    const listed = await this.list();
    const keeps = new Set(
      listed.filter(({ state }) => state === "current" && !options.all).map(({ image }) => image.id),
    );
    const ours = (await this.#parts.engine.list())
      .filter(({ labels }) => labels[HOME_LABEL] === nameHome(this.#parts.home) || (options.all && !labels[HOME_LABEL]))
      .map(({ id }) => id);
    // The system below the base carries no label of ours; nodes come before what they are built on.
    const below = listed.flatMap(({ image }) => (image.name === "bootstrap" ? [image.id] : []));
    const known = new Set(listed.filter(({ state }) => state !== "missing").map(({ image }) => image.id));
    const order = [...new Set([...ours, ...below.filter((id) => known.has(id))])].filter((id) => !keeps.has(id));
    const report = await this.#removeImages(order);
    // The engine removes along with an image what only that one held, so what is gone is asked afterwards.
    const left = await this.list();
    this.#lock.remove(new Set(left.flatMap(({ image, state }) => (state === "missing" ? [image.id] : []))));
    return report;
  }

  /** Writes a build context for other builders into an empty folder; a node type's comes without `env.tar`. */
  async writeContext(name: ImageName, folder: string): Promise<void> {
    const context = name === "base" ? await describeBase(this.#parts.home) : describeNode(await loadPlan(name));
    writeContext(context.parts, folder);
  }

  async #open(name: ImageName, options: EnsureOptions): Promise<Environment> {
    const found = await this.#findCurrent(name);
    if (found === undefined && options.build === false)
      throw new PaddockError("image_missing", `the ${name} image is not built`);
    const entry = found ?? (await this.build(name, options));
    return { template: name === "base" ? undefined : describeTemplate(entry, await loadPlan(name)), image: entry.id };
  }

  async #ensureBase(options: BuildOptions): Promise<ImageEntry> {
    const context = await describeBase(this.#parts.home);
    const below = options.bootstrap ? await this.#ensureBootstrap(context.packages, options) : await this.#lastBelow();
    const found = await this.#find("base", identifyBase(context));
    const isSame = options.bootstrap !== true || found?.base === below;
    if (found !== undefined && isSame && options.noCache !== true) return found;
    return this.#add(await buildBase(this.#parts, context, below, options));
  }

  async #ensureBootstrap(packages: readonly string[], options: BuildOptions): Promise<string> {
    const distribution = await readHostDistribution();
    const found = await this.#find("bootstrap", identifyBootstrap(distribution, packages));
    if (found !== undefined && options.noCache !== true) return found.id;
    return this.#add(await buildBootstrap(this.#parts, distribution, packages, options)).id;
  }

  /** The system that was made for the last base; undefined where the Dockerfile's default was used, or it is gone. */
  async #lastBelow(): Promise<string | undefined> {
    const last = this.#lock.read().find(({ name }) => name === "bootstrap");
    return last !== undefined && (await this.#parts.engine.inspect(last.id)) ? last.id : undefined;
  }

  async #findCurrent(name: ImageName): Promise<ImageEntry | undefined> {
    const base = await this.#find("base", identifyBase(await describeBase(this.#parts.home)));
    if (name === "base" || base === undefined) return base;
    return await this.#find(name, identifyNode(await loadPlan(name), base.id));
  }

  async #find(name: LockedName, identity: string): Promise<ImageEntry | undefined> {
    for (const entry of this.#lock.read())
      if (entry.name === name && entry.identity === identity && (await this.#parts.engine.inspect(entry.id)))
        return entry;
    return undefined;
  }

  async #currentIdentities(): Promise<ReadonlyMap<string, string>> {
    const identity = identifyBase(await describeBase(this.#parts.home));
    const base = await this.#find("base", identity);
    const nodes = await Promise.all(
      NODE_TYPES.map(async (type) => [type, base && identifyNode(await loadPlan(type), base.id)] as const),
    );
    return new Map([
      ["base", identity],
      ...nodes.flatMap(([type, one]) => (one === undefined ? [] : [[type, one] as const])),
    ]);
  }

  #add(entry: ImageEntry): ImageEntry {
    this.#lock.add(entry);
    return entry;
  }

  async #hold({ signal, onProgress }: Pick<ImageOptions, "signal" | "onProgress">): Promise<LockFile> {
    const folder = imagesFolder(this.#parts.home);
    makeOpenFolder(folder);
    return await LockFile.acquire(join(folder, "build.lock"), signal, (holder) =>
      onProgress(`waiting for process ${holder.pid}, which builds images`),
    );
  }

  /** Trees of builds that were killed; download caches stay for the next try. Called with the lock held. */
  async #removeUnfinished(): Promise<void> {
    const folder = imagesFolder(this.#parts.home);
    const names = existsSync(folder) ? readdirSync(folder).filter((name) => /^\.(build-|bootstrap)/.test(name)) : [];
    await Promise.all(names.map((name) => removeFolder(join(folder, name))));
  }

  async #removeImages(ids: readonly string[]): Promise<PruneReport> {
    const removed: string[] = [];
    const inUse: { id: string; reason: string }[] = [];
    for (const id of ids) {
      try {
        await this.#parts.engine.remove(id);
        removed.push(id);
      } catch (error) {
        inUse.push({ id, reason: toPaddockError(error).message });
      }
    }
    return { removed, inUse };
  }
}

export interface PruneReport {
  readonly removed: readonly string[];
  /** Images that the engine keeps, with its reason: a container uses them, or another image is built on them. */
  readonly inUse: readonly { readonly id: string; readonly reason: string }[];
}

function describeTemplate(entry: ImageEntry, plan: SetupPlan): Template | undefined {
  if (isEmpty(plan) || entry.content_hash === null) return undefined;
  return {
    nodeType: plan.nodeType,
    hash: entry.identity,
    contentHash: entry.content_hash,
    hasPython: plan.python !== undefined,
    hasJavascript: plan.javascript !== undefined,
    pythonPreload: plan.python?.preload ?? [],
    env: plan.env,
    versions: entry.versions,
    bytes: entry.content_bytes,
  };
}
