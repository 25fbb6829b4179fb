import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { constants } from "node:fs";
import {
  chmod,
  copyFile,
  cp,
  lstat,
  mkdir,
  readdir,
  readFile,
  rename,
  stat,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import type { Home } from "../../config/home.ts";
import { PaddockError } from "../../errors/error.ts";
import { makeOpenFolder } from "../../lib/open-folder.ts";
import { removeFolder } from "../../lib/remove-folder.ts";

const run = promisify(execFile);

/**
 * Sandboxes resolve paths as their own uid, so what leads to a mount can be passed but not listed; the rest is ours
 * alone.
 */
const OPEN_ROOM = 0o711;
const CLOSED_ROOM = 0o700;
const UNUSED_MS = 30 * 24 * 60 * 60 * 1000;

/**
 * Makes the rooms of the data folder with the rights that sandboxes need. An existing data folder keeps its own rights
 * (doctor checks them).
 */
export async function prepareHome(home: Home): Promise<void> {
  makeOpenFolder(home.root);
  const makeRoom = async (path: string, mode: number): Promise<void> => {
    await mkdir(path, { recursive: true });
    await chmod(path, mode);
  };
  await Promise.all([
    ...[home.templates, home.workspaces, home.run, home.bin].map((path) => makeRoom(path, OPEN_ROOM)),
    ...[home.owners, home.uids].map((path) => makeRoom(path, CLOSED_ROOM)),
  ]);
}

interface TreeFile {
  readonly path: string;
  readonly content: Buffer;
}

async function readTree(folder: string, prefix = ""): Promise<TreeFile[]> {
  const entries = await readdir(join(folder, prefix), { withFileTypes: true });
  const files: TreeFile[] = [];
  for (const entry of entries.sort((left, right) => (left.name < right.name ? -1 : 1))) {
    const path = join(prefix, entry.name);
    if (entry.name === "__pycache__") continue;
    if (entry.isDirectory()) files.push(...(await readTree(folder, path)));
    else if (entry.isFile()) files.push({ path, content: await readFile(join(folder, path)) });
  }
  return files;
}

function hashTree(files: readonly TreeFile[]): string {
  const hash = createHash("sha256");
  for (const { path, content } of files) hash.update(`${path}\0${content.length}\0`).update(content);
  return hash.digest("hex").slice(0, 16);
}

/** What this process has chosen: it may start from them as long as it lives. */
const chosen = new Set<string>();

/** Makes `target` by filling a draft beside it and renaming: other processes see all of it or nothing. */
async function makeOnce(target: string, fill: (draft: string) => Promise<void>): Promise<string> {
  chosen.add(target);
  if (await markUsed(target)) return target;
  const draft = nameDraft(target);
  try {
    await mkdir(draft, { mode: 0o755 });
    await chmod(draft, 0o755);
    await fill(draft);
    await rename(draft, target);
  } catch (error) {
    await removeFolder(draft);
    if (!(await lstat(target).catch(() => undefined))) throw error;
  }
  return target;
}

/** The folder's own time tells when a copy was last used; the copies inside keep theirs. False when it is not there. */
async function markUsed(target: string): Promise<boolean> {
  const now = new Date();
  return await utimes(target, now, now).then(
    () => true,
    () => false,
  );
}

/**
 * Says that what this process has chosen in `bin` is in use still. Each sweep does, so that a start of another version
 * lets it be.
 */
export async function keepCopies(bin: string): Promise<void> {
  await Promise.all([...chosen].filter((target) => dirname(target) === bin).map(markUsed));
}

/**
 * Removes copies that nobody has used for a month: older versions of ours, and drafts that a kill left. A `users-`
 * folder goes at any age: nothing starts from one, and a container that has its files mounted keeps them.
 */
export async function sweepOldCopies(bin: string): Promise<void> {
  for (const name of await readdir(bin)) {
    if (!/^(node|supervisor|launcher|ca|users|seccomp)-/.test(name)) continue;
    const path = join(bin, name);
    const mayGo = async (at: string): Promise<boolean> => name.startsWith("users-") || (await isUnused(at));
    if (!(await mayGo(path))) continue;
    // Somebody may choose it just now: what is moved aside cannot be chosen any more.
    const aside = nameDraft(path);
    await rename(path, aside).catch(() => undefined);
    if (await mayGo(aside)) await removeFolder(aside);
    else await rename(aside, path).catch(() => undefined);
  }
}

async function isUnused(path: string): Promise<boolean> {
  const info = await lstat(path).catch(() => undefined);
  return info !== undefined && info.mtimeMs < Date.now() - UNUSED_MS;
}

const nameDraft = (target: string): string => `${target}.${randomBytes(6).toString("hex")}.draft`;

async function openToAll(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      await chmod(path, 0o755);
      await openToAll(path);
    } else if (entry.isFile()) await chmod(path, (await stat(path)).mode & 0o100 ? 0o755 : 0o644);
  }
}

/**
 * A copy of a Python program in `bin`, named after its content, with its modules compiled: the sandbox's uid must be
 * able to read it, and a root launcher must not run files that another user can change.
 */
export async function installProgram(bin: string, name: string, source: string, python: string): Promise<string> {
  const files = await readTree(source);
  return makeOnce(join(bin, `${name}-${hashTree(files)}`), async (draft) => {
    for (const { path, content } of files) {
      await mkdir(dirname(join(draft, path)), { recursive: true });
      await writeFile(join(draft, path), content);
    }
    const compile = ["-I", "-S", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "."];
    await run(python, compile, { cwd: draft, env: {} });
    await openToAll(draft);
  });
}

/** A copy of this Node and of npm, laid out as a Node distribution. */
export async function installNode(bin: string, nodeBinary: string, npmFolder: string): Promise<string> {
  const [binary, npm] = await Promise.all([stat(nodeBinary), readFile(join(npmFolder, "package.json"))]);
  const identity = createHash("sha256").update(`${binary.size} ${binary.mtimeMs}\n`).update(npm).digest("hex");
  return makeOnce(join(bin, `node-${process.versions.node}-${identity.slice(0, 16)}`), async (draft) => {
    await mkdir(join(draft, "bin"));
    await copyFile(nodeBinary, join(draft, "bin/node"), constants.COPYFILE_FICLONE);
    await cp(npmFolder, join(draft, "lib/node_modules/npm"), { recursive: true });
    for (const name of ["npm", "npx"]) {
      await symlink(`../lib/node_modules/npm/bin/${name}-cli.js`, join(draft, "bin", name));
      await chmod(join(draft, `lib/node_modules/npm/bin/${name}-cli.js`), 0o755);
    }
    await openToAll(draft);
  });
}

/** A folder of small files that sandboxes can read, made once. */
export async function installFiles(
  folder: string,
  files: readonly { readonly name: string; readonly content: string }[],
): Promise<void> {
  await makeOnce(folder, async (draft) => {
    await Promise.all(files.map(({ name, content }) => writeFile(join(draft, name), content)));
    await openToAll(draft);
  });
}

/** A copy of the operator's CA bundle that sandboxes can read, wherever the original lies. */
export async function installCaBundle(bin: string, source: string): Promise<string> {
  const content = await readFile(source).catch((cause: unknown) => {
    throw new PaddockError("invalid_config", `the CA bundle ${source} cannot be read`, { cause });
  });
  const hash = createHash("sha256").update(content).digest("hex").slice(0, 16);
  const folder = await makeOnce(join(bin, `ca-${hash}`), async (draft) => {
    await writeFile(join(draft, "ca.pem"), content);
    await openToAll(draft);
  });
  return join(folder, "ca.pem");
}
