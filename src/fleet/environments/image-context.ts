import { copyFileSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { type Headers, type Pack, pack } from "tar-fs";
import type { Home } from "../../config/home.ts";
import { installNode, installProgram } from "../../drivers/host/install.ts";
import { PaddockError } from "../../errors/error.ts";
import { makeOpenFolder } from "../../lib/open-folder.ts";
import { PYTHON } from "../../model/guest-paths.ts";
import { type RenderedImage, renderImage } from "../../setup/dockerfile.ts";
import type { SetupPlan } from "../../setup/plan.ts";

type DiskPart =
  /** A file of the host. */
  | { readonly name: string; readonly file: string }
  /** A folder of the host; `__pycache__` is left out. */
  | { readonly name: string; readonly folder: string };

/** One entry at the root of a build context. */
export type ContextPart = { readonly name: string; readonly text: string } | DiskPart;

export interface BaseContext {
  readonly parts: readonly ContextPart[];
  readonly packages: readonly string[];
  readonly nodeVersion: string;
  /** What decides the content, but for the image below. */
  readonly identity: Readonly<Record<string, unknown>>;
}

const IMAGES = new URL("../../../images/", import.meta.url);
/** Equal content gives an equal context, whenever it was copied. */
const EPOCH = new Date(0);

/** The base's context: our supervisor, and the Node and npm that run us. */
export async function describeBase(home: Home): Promise<BaseContext> {
  makeOpenFolder(home.bin);
  const npm = dirname(fileURLToPath(import.meta.resolve("npm/package.json")));
  const [supervisor, node] = await Promise.all([
    installProgram(home.bin, "supervisor", fileURLToPath(new URL("supervisor", IMAGES)), PYTHON),
    installNode(home.bin, process.execPath, npm),
  ]);
  const nodeVersion = process.versions.node;
  const text = readFileSync(new URL("base/Dockerfile", IMAGES), "utf8");
  const dockerfile = text.replace(/^ARG NODE_VERSION=.*$/m, `ARG NODE_VERSION=${nodeVersion}`);
  return {
    parts: [
      { name: "Dockerfile", text: dockerfile },
      { name: "node", folder: node },
      { name: "supervisor", folder: supervisor },
    ],
    packages: /^ARG PACKAGES="([a-z0-9+. -]+)"$/m.exec(text)?.[1]?.split(" ") ?? [],
    nodeVersion,
    identity: { dockerfile, node: basename(node), supervisor: basename(supervisor), architecture: process.arch },
  };
}

/** A node type's context, without the environment's tree. */
export function describeNode(plan: SetupPlan): { parts: readonly ContextPart[]; rendered: RenderedImage } {
  const rendered = renderImage(plan);
  return {
    parts: [
      { name: "Dockerfile", text: rendered.dockerfile },
      { name: "setup.sh", text: rendered.setupCode },
    ],
    rendered,
  };
}

/** The context as a tar stream, read from disk as it is taken. */
export function packContext(parts: readonly ContextPart[]): Readable {
  const [first, ...rest] = parts.filter((part): part is DiskPart => !("text" in part));
  const texts = parts.filter((part) => "text" in part);
  const finish = (stream: Pack): void => {
    for (const { name, text } of texts) stream.entry({ name, mode: 0o644, mtime: EPOCH }, text);
    stream.finalize();
  };
  return Readable.from(packRest(first, rest, undefined, finish), { objectMode: false });
}

function packRest(
  part: DiskPart | undefined,
  rest: readonly DiskPart[],
  into: Pack | undefined,
  finish: (stream: Pack) => void,
): Pack {
  const source =
    part === undefined
      ? { folder: "/", entries: [] }
      : "file" in part
        ? { folder: dirname(part.file), entries: [basename(part.file)] }
        : { folder: part.folder, entries: ["."] };
  return pack(source.folder, {
    entries: [...source.entries],
    finalize: false,
    ignore: (path) => basename(path) === "__pycache__",
    map: (header) => ownNothing(header, part),
    finish: (stream) => (rest.length === 0 ? finish(stream) : void packRest(rest[0], rest.slice(1), stream, finish)),
    ...(into === undefined ? {} : { pack: into }),
  });
}

function ownNothing(header: Headers, part: ContextPart | undefined): Headers {
  const name = part === undefined ? header.name : "file" in part ? part.name : join(part.name, header.name);
  return { ...header, name, mode: readableMode(header), uid: 0, gid: 0, mtime: EPOCH };
}

/** Whatever our own umask was, every user inside may read, and start what is a program. */
function readableMode({ type, mode }: Headers): number {
  return type === "directory" || (mode & 0o100) !== 0 ? 0o755 : 0o644;
}

/** The context as files, for other builders. `folder` must not exist or be empty. Throws `invalid_request`. */
export function writeContext(parts: readonly ContextPart[], folder: string): void {
  if (existsSync(folder) && readdirSync(folder).length > 0)
    throw new PaddockError("invalid_request", `${folder} is not empty`, {
      hint: "Name a folder that is empty or not there yet.",
    });
  mkdirSync(folder, { recursive: true });
  for (const part of parts) {
    const target = join(folder, part.name);
    if ("text" in part) writeFileSync(target, part.text);
    else if ("file" in part) copyFileSync(part.file, target);
    else
      cpSync(part.folder, target, {
        recursive: true,
        verbatimSymlinks: true,
        filter: (path) => basename(path) !== "__pycache__",
      });
  }
}
