import { createWriteStream } from "node:fs";
import { join } from "node:path";
import { finished } from "node:stream/promises";
import type { Home } from "../../config/home.ts";
import type { ImageEngine, ImageFacts, ImageName } from "../../drivers/driver.ts";
import { PaddockError } from "../../errors/error.ts";
import { makeOpenFolder } from "../../lib/open-folder.ts";
import { removeFolder } from "../../lib/remove-folder.ts";
import { GIB } from "../../model/units.ts";
import type { RenderedImage } from "../../setup/dockerfile.ts";
import type { SetupPlan } from "../../setup/plan.ts";
import { hashCanonical } from "../../setup/plan-hash.ts";
import { BOOTSTRAP_VERSION, bootstrapImage, type HostDistribution } from "./bootstrap.ts";
import { describeBuildStep } from "./build-progress.ts";
import type { Tree, TreeReader } from "./builder.ts";
import { type BaseContext, type ContextPart, describeNode, packContext } from "./image-context.ts";
import type { ImageEntry, LockedName } from "./image-lock.ts";
import { readVersions, type TemplateBuilder } from "./templates.ts";

/** A tree of more than this is refused while it is spooled. */
const MAX_TREE_BYTES = 8 * GIB;

export interface ImageParts {
  readonly home: Home;
  readonly engine: ImageEngine;
  readonly builder: TemplateBuilder & TreeReader;
}

export interface ImageOptions {
  readonly signal: AbortSignal;
  readonly onProgress: (line: string) => void;
  /** Build anew, whatever is there, and without the engine's build cache. */
  readonly noCache?: boolean;
}

/** Part of every node image's identity: raise it when equal plans are to be built in another way. */
const BUILD_VERSION = 1;

/** Labels of finished images; values tell nothing of the host. */
const IDENTITY_LABEL = "paddock.identity";
export const HOME_LABEL = "paddock.home";

/** Tells the images of one data folder from those of others on the same engine. */
export const nameHome = (home: Home): string => hashCanonical(home.root).slice(0, 16);

export const imagesFolder = (home: Home): string => join(home.root, "images");

export const identifyBase = (base: BaseContext): string => hashCanonical({ name: "base", ...base.identity });

export function identifyNode(plan: SetupPlan, base: string): string {
  const { rendered } = describeNode(plan);
  const { dockerfile, setupCode } = rendered;
  return hashCanonical({ name: plan.nodeType, base, dockerfile, setupCode, BUILD_VERSION });
}

export function identifyBootstrap({ suite, sources }: HostDistribution, packages: readonly string[]): string {
  return hashCanonical({ name: "bootstrap", suite, sources, packages, BOOTSTRAP_VERSION, architecture: process.arch });
}

/** Makes the system below the base from this host's package sources. */
export async function buildBootstrap(
  parts: ImageParts,
  distribution: HostDistribution,
  packages: readonly string[],
  options: ImageOptions,
): Promise<ImageEntry> {
  const begun = performance.now();
  options.onProgress(`making a ${distribution.suite} system from packages (once)`);
  const folder = join(imagesFolder(parts.home), ".bootstrap");
  const id = await bootstrapImage(parts.engine, { distribution, packages, folder, ...options });
  const facts = await parts.engine.inspect(id);
  if (facts === undefined) throw new PaddockError("image_failed", "the engine has lost the image that it imported");
  return describeEntry("bootstrap", facts, identifyBootstrap(distribution, packages), begun);
}

/** Builds the base on `below` (an id), or on the Dockerfile's default where that is undefined. */
export async function buildBase(
  parts: ImageParts,
  base: BaseContext,
  below: string | undefined,
  options: ImageOptions,
): Promise<ImageEntry> {
  const begun = performance.now();
  options.onProgress("building the base image");
  const identity = identifyBase(base);
  const image = await build(parts, { name: "base", parts: base.parts, below, identity }, options);
  return { ...describeEntry("base", image, identity, begun), base: below ?? null };
}

/**
 * Builds a node type's image on our base: first its environment in a sandbox on that base, then the image around it.
 */
export async function buildNode(
  parts: ImageParts,
  plan: SetupPlan,
  base: string,
  options: ImageOptions,
): Promise<ImageEntry> {
  const begun = performance.now();
  options.onProgress(`building the ${plan.name} image`);
  const identity = identifyNode(plan, base);
  const { parts: context, rendered } = describeNode(plan);
  const folder = join(imagesFolder(parts.home), `.build-${identity.slice(0, 16)}`);
  await removeFolder(folder);
  try {
    const tree = isEmpty(plan) ? undefined : await makeTree(parts, { plan, base, folder, rendered }, options);
    const files: ContextPart[] = tree === undefined ? [] : [{ name: "env.tar", file: join(folder, "env.tar") }];
    const request = { name: plan.nodeType, parts: [...context, ...files], below: base, identity };
    const image = await build(parts, request, options);
    return {
      ...describeEntry(plan.nodeType, image, identity, begun),
      base,
      plan_hash: rendered.planHash,
      setup_hash: rendered.setupHash,
      content_hash: tree?.hash.sha256 ?? null,
      content_bytes: tree?.hash.bytes ?? 0,
      versions: tree === undefined ? {} : readVersions(tree.readiness),
    };
  } finally {
    await removeFolder(folder);
  }
}

export function isEmpty(plan: SetupPlan): boolean {
  return plan.python === undefined && plan.javascript === undefined && plan.files.length === 0;
}

interface TreeOrder {
  readonly plan: SetupPlan;
  readonly base: string;
  readonly folder: string;
  readonly rendered: RenderedImage;
}

/** Runs the setup code in a sandbox on the base, and spools what it made as `env.tar`. */
async function makeTree(
  { home, builder }: ImageParts,
  { plan, base, folder, rendered }: TreeOrder,
  { signal, onProgress }: ImageOptions,
): Promise<Tree> {
  const env = join(folder, "env");
  const cache = join(imagesFolder(home), `.cache-${plan.name}`);
  for (const path of [env, cache]) makeOpenFolder(path);
  const { setupCode, setupHash } = rendered;
  await builder.build({ plan, setupCode, setupHash, folder: env, cache, image: base, signal, onProgress });
  onProgress("reading the environment");
  const tree = await spool(join(folder, "env.tar"), (sink) =>
    builder.readTree({ folder: env, image: base, signal }, sink),
  );
  await Promise.all([removeFolder(env), removeFolder(cache)]);
  return tree;
}

/** Streams into a file with back-pressure, up to a bound. */
async function spool<T>(path: string, work: (sink: (chunk: Buffer) => Promise<void>) => Promise<T>): Promise<T> {
  const file = createWriteStream(path, { flags: "wx", mode: 0o600 });
  const ended = finished(file);
  ended.catch(() => undefined);
  let bytes = 0;
  const result = await work(async (chunk) => {
    bytes += chunk.length;
    if (bytes > MAX_TREE_BYTES) throw new PaddockError("setup_failed", "the environment is larger than 8 GiB");
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    file.write(chunk, (error) => (error ? reject(error) : resolve()));
    await promise;
  }).finally(() => file.end());
  await ended;
  return result;
}

interface BuildOrder {
  readonly name: ImageName;
  readonly parts: readonly ContextPart[];
  readonly below: string | undefined;
  readonly identity: string;
}

async function build({ engine, home }: ImageParts, order: BuildOrder, options: ImageOptions): Promise<ImageFacts> {
  const context = packContext(order.parts);
  const broken = new AbortController();
  context.once("error", (error) => broken.abort(error));
  return await engine.build({
    name: order.name,
    context,
    buildArguments: order.below === undefined ? {} : { BASE: order.below },
    labels: { [IDENTITY_LABEL]: order.identity, [HOME_LABEL]: nameHome(home) },
    noCache: options.noCache ?? false,
    onProgress: (line) => {
      const step = describeBuildStep(line);
      if (step !== undefined) options.onProgress(step);
    },
    signal: AbortSignal.any([options.signal, broken.signal]),
  });
}

function describeEntry(name: LockedName, image: ImageFacts, identity: string, begun: number): ImageEntry {
  return {
    name,
    id: image.id,
    identity,
    base: null,
    plan_hash: null,
    setup_hash: null,
    content_hash: null,
    content_bytes: 0,
    versions: {},
    bytes: image.bytes,
    build_ms: Math.round(performance.now() - begun),
    built: new Date().toISOString(),
  };
}
