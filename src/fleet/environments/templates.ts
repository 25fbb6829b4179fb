import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import type { ImageName } from "../../drivers/driver.ts";
import { PaddockError } from "../../errors/error.ts";
import { LockFile } from "../../lib/lock-file.ts";
import { makeOpenFolder } from "../../lib/open-folder.ts";
import { removeFolder } from "../../lib/remove-folder.ts";
import { ENV_DIR } from "../../model/guest-paths.ts";
import type { NodeType } from "../../model/node-type.ts";
import { PROTOCOL_VERSION } from "../../sandbox/channel/frames.ts";
import type { SetupPlan } from "../../setup/plan.ts";
import { hashTemplate, type Interpreter } from "../../setup/plan-hash.ts";
import { loadPlan } from "../../setup/plans.ts";
import { parseReadiness } from "../../setup/readiness.ts";
import { renderSetup } from "../../setup/setup-code.ts";
import { TEMPLATE_MANIFEST, TEMPLATE_MARK } from "../make/create.ts";
import type { EnsureOptions, Environment, Environments, Template } from "./environments.ts";

/** Where a prune puts the manifest while it looks whether a sandbox uses the template. */
const WITHDRAWN = "withdrawn.json";

const Manifest = z.strictObject({
  node_type: z.enum(["python", "javascript", "file", "web"]),
  hash: z.string(),
  content_hash: z.string(),
  created: z.string(),
  build_ms: z.number(),
  bytes: z.number(),
  entries: z.number(),
  versions: z.record(z.string(), z.string()),
  plan: z.unknown(),
});
export type TemplateManifest = z.infer<typeof Manifest>;

/** What building and checking needs of the fleet. */
export interface TemplateBuilder {
  /**
   * Runs setup code with `folder` as ENV_DIR and a kept download cache. Throws `setup_failed` or
   * `registry_unreachable`.
   */
  build(request: BuildRequest): Promise<void>;
  /** Hashes a frozen tree in a porter. */
  hashTree(folder: string, signal: AbortSignal): Promise<TreeHash>;
  /** A file of the tree, read in a porter. */
  readFile(folder: string, path: string, signal: AbortSignal): Promise<Buffer>;
}

export interface TreeHash {
  readonly sha256: string;
  readonly entries: number;
  readonly bytes: number;
}

export interface BuildRequest {
  readonly plan: SetupPlan;
  readonly setupCode: string;
  readonly setupHash: string;
  readonly folder: string;
  readonly cache: string;
  /** What the sandbox starts from, under drivers that have images. */
  readonly image?: string;
  readonly signal: AbortSignal;
  readonly onProgress: (message: string) => void;
}

/** Templates of one data folder: built once, checked before first use after a boot, pruned on demand. */
export class TemplateStore implements Environments {
  readonly #folder: string;
  readonly #runFolder: string;
  readonly #builder: TemplateBuilder;
  readonly #interpreters: () => Promise<readonly Interpreter[]>;
  readonly #ready = new Map<string, Promise<Template>>();

  constructor(
    folder: string,
    runFolder: string,
    builder: TemplateBuilder,
    interpreters: () => Promise<readonly Interpreter[]>,
  ) {
    this.#folder = folder;
    this.#runFolder = runFolder;
    this.#builder = builder;
    this.#interpreters = interpreters;
  }

  async open(name: ImageName, options: EnsureOptions): Promise<Environment> {
    return { template: name === "base" ? undefined : await this.ensure(name, options), image: undefined };
  }

  forget(): void {
    this.#ready.clear();
  }

  /** The template of a node type, built if need be; undefined when its plan installs nothing. */
  async ensure(nodeType: NodeType, options: EnsureOptions): Promise<Template | undefined> {
    const plan = await loadPlan(nodeType);
    if (isEmptyPlan(plan)) return undefined;
    const setup = renderSetup(plan, { envDir: ENV_DIR });
    const hash = await this.#hash(plan, setup.code);
    let ready = this.#ready.get(hash);
    if (ready === undefined) {
      ready = this.#find(hash, plan, setup, options);
      this.#ready.set(hash, ready);
      ready.catch(() => this.#ready.delete(hash));
    }
    return await ready;
  }

  /** Every template of the data folder with whether a shipped plan still names it. */
  async list(): Promise<readonly { manifest: TemplateManifest; current: boolean }[]> {
    const current = await this.#currentHashes();
    return this.#hashes().flatMap((hash) => {
      const manifest = this.#manifest(hash);
      return manifest === undefined ? [] : [{ manifest, current: current.has(hash) }];
    });
  }

  /**
   * Removes templates that no shipped plan names (or all), unfinished builds and download caches; what a live sandbox
   * uses stays.
   */
  async prune(options: { readonly all: boolean }): Promise<{ removed: readonly string[]; inUse: readonly string[] }> {
    const current = await this.#currentHashes();
    const removed: string[] = [];
    const inUse: string[] = [];
    for (const name of existsSync(this.#folder) ? readdirSync(this.#folder) : []) {
      const hash = name.replace(/^\.(build|cache|gone)-/, "").slice(0, 64);
      const isWanted = name === hash && current.has(hash) && !options.all;
      if (isWanted || name.includes(".lock.")) continue;
      const lock = LockFile.tryAcquire(join(this.#folder, `${hash}.lock`));
      if (!(lock instanceof LockFile)) {
        inUse.push(name);
        continue;
      }
      using _held = lock;
      if (await this.#remove(name, hash)) removed.push(name);
      else inUse.push(name);
    }
    this.#ready.clear();
    return { removed, inUse };
  }

  /** False when a sandbox uses it. The lock is held. */
  async #remove(name: string, hash: string): Promise<boolean> {
    if (this.#isUsed(hash)) return false;
    if (name !== hash) await removeFolder(join(this.#folder, name));
    else if (this.#withdraw(hash)) await this.#removeWithdrawn(hash);
    else return false;
    return true;
  }

  /**
   * Who marks a template looks for its manifest after that, and builds it again where there is none. So the manifest
   * goes first and the marks are read again: nobody's mark is overlooked, and under a sandbox that has found the
   * manifest the tree stays in its place.
   */
  #withdraw(hash: string): boolean {
    const folder = join(this.#folder, hash);
    moveIfThere(folder, TEMPLATE_MANIFEST, WITHDRAWN);
    if (!this.#isUsed(hash)) return true;
    moveIfThere(folder, WITHDRAWN, TEMPLATE_MANIFEST);
    return false;
  }

  /** What lies under the template's own name is whole at any moment. */
  async #removeWithdrawn(hash: string): Promise<void> {
    const gone = join(this.#folder, `.gone-${hash}`);
    await removeFolder(gone);
    renameSync(join(this.#folder, hash), gone);
    await removeFolder(gone);
  }

  async #find(
    hash: string,
    plan: SetupPlan,
    setup: { code: string; hash: string },
    options: EnsureOptions,
  ): Promise<Template> {
    const folder = join(this.#folder, hash);
    if (this.#manifest(hash) === undefined) {
      if (options.build === false)
        throw new PaddockError("template_missing", `the template of ${plan.name} is not built`);
      await this.#build(hash, plan, setup, options);
    } else await this.#verify(hash, options);
    const manifest = this.#manifest(hash);
    if (manifest === undefined)
      throw new PaddockError("template_failed", `the template of ${plan.name} has no manifest`);
    return {
      nodeType: plan.nodeType,
      hash,
      contentHash: manifest.content_hash,
      folder: join(folder, "env"),
      hasPython: plan.python !== undefined,
      hasJavascript: plan.javascript !== undefined,
      pythonPreload: plan.python?.preload ?? [],
      env: plan.env,
      versions: manifest.versions,
      bytes: manifest.bytes,
    };
  }

  async #build(
    hash: string,
    plan: SetupPlan,
    setup: { code: string; hash: string },
    options: EnsureOptions,
  ): Promise<void> {
    makeOpenFolder(this.#folder);
    using _lock = await LockFile.acquire(join(this.#folder, `${hash}.lock`), options.signal, (holder) =>
      options.onProgress(`waiting for process ${holder.pid}, which builds the ${plan.name} template`),
    );
    // A prune that was killed may have left it withdrawn.
    moveIfThere(join(this.#folder, hash), WITHDRAWN, TEMPLATE_MANIFEST);
    if (this.#manifest(hash) !== undefined) return;
    const begun = performance.now();
    options.onProgress(`building the ${plan.name} template (once; kept in the data folder)`);
    const building = join(this.#folder, `.build-${hash}`);
    const cache = join(this.#folder, `.cache-${hash}`);
    await removeFolder(building);
    makeOpenFolder(join(building, "env"));
    makeOpenFolder(cache);
    const env = join(building, "env");
    const { signal, onProgress } = options;
    await this.#builder.build({
      plan,
      setupCode: setup.code,
      setupHash: setup.hash,
      folder: env,
      cache,
      signal,
      onProgress,
    });
    const versions = await this.#readVersions(env, signal);
    const tree = await this.#builder.hashTree(env, signal);
    const manifest: TemplateManifest = {
      node_type: plan.nodeType,
      hash,
      content_hash: tree.sha256,
      created: new Date().toISOString(),
      build_ms: Math.round(performance.now() - begun),
      bytes: tree.bytes,
      entries: tree.entries,
      versions,
      plan,
    };
    writeFileSync(join(building, TEMPLATE_MANIFEST), JSON.stringify(manifest, null, 2), { mode: 0o600 });
    writeFileSync(join(building, "setup.sh"), setup.code, { mode: 0o600 });
    writeFileSync(join(building, "verified"), bootId(), { mode: 0o600 });
    renameSync(building, join(this.#folder, hash));
    await removeFolder(cache);
    onProgress(
      `built the ${plan.name} template: ${tree.entries} entries, ${Math.round(tree.bytes / 1e6)} MB, ${Math.round(manifest.build_ms / 1000)} s`,
    );
  }

  /** Checks the content hash once per boot of the host. */
  async #verify(hash: string, options: EnsureOptions): Promise<void> {
    const folder = join(this.#folder, hash);
    const stamp = join(folder, "verified");
    if (existsSync(stamp) && readFileSync(stamp, "utf8") === bootId()) return;
    const expected = this.#manifest(hash)?.content_hash;
    options.onProgress("checking the template's content hash (once per boot)");
    const tree = await this.#builder.hashTree(join(folder, "env"), options.signal);
    if (tree.sha256 !== expected) {
      throw new PaddockError(
        "template_corrupt",
        `template ${hash.slice(0, 12)} has content ${tree.sha256.slice(0, 12)}, not ${expected?.slice(0, 12)}`,
      );
    }
    writeFileSync(stamp, bootId(), { mode: 0o600 });
  }

  async #readVersions(folder: string, signal: AbortSignal): Promise<Record<string, string>> {
    return readVersions((await this.#builder.readFile(folder, "ready.json", signal)).toString("utf8"));
  }

  async #hash(plan: SetupPlan, setupCode: string): Promise<string> {
    return hashTemplate({
      plan,
      setupCode,
      architecture: process.arch,
      envDir: ENV_DIR,
      protocolVersion: PROTOCOL_VERSION,
      interpreters: await this.#interpreters(),
    });
  }

  async #currentHashes(): Promise<Set<string>> {
    const hashes = new Set<string>();
    for (const nodeType of ["python", "javascript", "file", "web"] as const) {
      const plan = await loadPlan(nodeType);
      hashes.add(await this.#hash(plan, renderSetup(plan, { envDir: ENV_DIR }).code));
    }
    return hashes;
  }

  #hashes(): string[] {
    return existsSync(this.#folder) ? readdirSync(this.#folder).filter((name) => /^[0-9a-f]{64}$/.test(name)) : [];
  }

  #manifest(hash: string): TemplateManifest | undefined {
    try {
      return Manifest.parse(JSON.parse(readFileSync(join(this.#folder, hash, TEMPLATE_MANIFEST), "utf8")));
    } catch {
      return undefined;
    }
  }

  #isUsed(hash: string): boolean {
    const runs = existsSync(this.#runFolder) ? readdirSync(this.#runFolder) : [];
    return runs.some((id) => readIfThere(join(this.#runFolder, id, TEMPLATE_MARK)) === hash);
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

function moveIfThere(folder: string, from: string, to: string): void {
  if (existsSync(join(folder, from))) renameSync(join(folder, from), join(folder, to));
}

function isEmptyPlan(plan: SetupPlan): boolean {
  return plan.python === undefined && plan.javascript === undefined && plan.files.length === 0;
}

/** Installed versions from the text of a readiness file. Throws `setup_failed`. */
export function readVersions(text: string): Record<string, string> {
  const readiness = parseReadiness(text);
  if (!readiness.ok) throw new PaddockError("setup_failed", `step ${readiness.step}: ${readiness.error ?? "failed"}`);
  return readiness.versions;
}

function bootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}
