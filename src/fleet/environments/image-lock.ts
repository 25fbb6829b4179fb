import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import type { Home } from "../../config/home.ts";
import type { ImageName } from "../../drivers/driver.ts";
import { PaddockError } from "../../errors/error.ts";
import { replaceFile } from "../../lib/atomic-file.ts";

/** Entries of one name: an engine that was used before keeps its image usable. */
const MAX_PER_NAME = 4;

const ImageId = z.string().regex(/^sha256:[0-9a-f]{64}$/);
const Hash = z.string().regex(/^[0-9a-f]{64}$/);

const Entry = z.strictObject({
  name: z.enum(["base", "python", "javascript", "file", "web", "bootstrap"]),
  id: ImageId,
  /** Over everything that decides the content: another one means that the image is stale. */
  identity: Hash,
  /** Image it was built on, where it was asked for by id. */
  base: ImageId.nullable(),
  plan_hash: Hash.nullable(),
  setup_hash: Hash.nullable(),
  /** sha256 over the environment's tree. */
  content_hash: Hash.nullable(),
  content_bytes: z.int().min(0),
  /** Installed versions of what the plan names. */
  versions: z.record(z.string(), z.string()),
  /** Size as the engine counts it, layers below included. */
  bytes: z.int().min(0),
  build_ms: z.int().min(0),
  built: z.iso.datetime(),
});
export type ImageEntry = z.infer<typeof Entry>;
export type LockedName = ImageName | "bootstrap";

const LockSchema = z.strictObject({ version: z.literal(1), images: z.array(Entry).max(100) });

/** `images.json` in the data folder: which image each name means. Read whole, replaced whole. */
export class ImageLock {
  readonly #path: string;

  constructor(home: Home) {
    this.#path = join(home.root, "images.json");
  }

  /** Newest first. Throws `invalid_config` when the file is not ours. */
  read(): readonly ImageEntry[] {
    if (!existsSync(this.#path)) return [];
    try {
      return LockSchema.parse(JSON.parse(readFileSync(this.#path, "utf8"))).images;
    } catch (cause) {
      throw new PaddockError("invalid_config", `${this.#path} cannot be read`, {
        cause,
        hint: "Remove the file; the images are then built again.",
      });
    }
  }

  add(entry: ImageEntry): void {
    const others = this.read().filter((one) => one.id !== entry.id || one.name !== entry.name);
    const kept = [entry, ...others].filter(
      (one, index, all) => all.slice(0, index).filter(({ name }) => name === one.name).length < MAX_PER_NAME,
    );
    this.#write(kept);
  }

  remove(ids: ReadonlySet<string>): void {
    this.#write(this.read().filter(({ id }) => !ids.has(id)));
  }

  #write(images: readonly ImageEntry[]): void {
    replaceFile(this.#path, `${JSON.stringify({ version: 1, images }, null, 2)}\n`);
  }
}
