import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { open, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { PaddockError } from "../../errors/error.ts";

const run = promisify(execFile);

/** Tools of e2fsprogs live here, which an ordinary user's PATH may lack. */
const TOOL_ENVIRONMENT = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" };

const BLOCK_BYTES = 4096;
const INODE_BYTES = 256;
const MAX_INODES = 65_536;
const SMALL_WORKSPACE_BYTES = 256 * 1024 * 1024;
const METADATA_BYTES = 1024 * 1024;
const FORMAT_VERSION = 1;

/** Inodes of a workspace: 65,536, fewer where their table would take more than a sixteenth of a small one. */
function countInodes(workspaceBytes: number): number {
  return workspaceBytes >= SMALL_WORKSPACE_BYTES ? MAX_INODES : Math.max(256, Math.ceil(workspaceBytes / BLOCK_BYTES));
}

/** Size of the image whose file system offers about `workspaceBytes`. */
function measureImage(workspaceBytes: number): number {
  const bytes = workspaceBytes + countInodes(workspaceBytes) * INODE_BYTES + METADATA_BYTES;
  return Math.ceil(bytes / BLOCK_BYTES) * BLOCK_BYTES;
}

async function format(path: string, workspaceBytes: number): Promise<void> {
  const file = await open(path, "wx", 0o600);
  await file.truncate(measureImage(workspaceBytes));
  await file.close();
  const features = "^has_journal,^resize_inode,sparse_super2";
  const extended = "lazy_itable_init=1,nodiscard,root_owner=0:0";
  const options = ["-q", "-F", "-b", String(BLOCK_BYTES), "-I", String(INODE_BYTES), "-m", "0"];
  const inodes = ["-N", String(countInodes(workspaceBytes))];
  const env = TOOL_ENVIRONMENT;
  await run("mkfs.ext4", [...options, ...inodes, "-O", features, "-E", extended, path], { env });
  await run("debugfs", ["-w", "-R", "rmdir lost+found", path], { env });
}

/**
 * Formatted empty images, one file per size, made once per data folder. Several processes may make the same one: the
 * last rename wins.
 */
export class BlankImageStore {
  readonly #folder: string;
  readonly #made = new Map<number, Promise<string>>();

  constructor(workspacesFolder: string) {
    this.#folder = workspacesFolder;
  }

  async get(workspaceBytes: number): Promise<string> {
    const known = this.#made.get(workspaceBytes);
    if (known !== undefined) return known;
    const made = this.#make(workspaceBytes);
    this.#made.set(workspaceBytes, made);
    made.catch(() => this.#made.delete(workspaceBytes));
    return made;
  }

  async #make(workspaceBytes: number): Promise<string> {
    const path = join(this.#folder, `.blank-${workspaceBytes}-v${FORMAT_VERSION}.img`);
    if (await stat(path).catch(() => undefined)) return path;
    const draft = `${path}.${randomBytes(6).toString("hex")}`;
    try {
      await format(draft, workspaceBytes);
      await rename(draft, path);
    } catch (error) {
      await rm(draft, { force: true });
      throw new PaddockError("create_failed", `a workspace image of ${workspaceBytes} bytes could not be formatted`, {
        cause: error,
        hint: "Install e2fsprogs (mkfs.ext4 and debugfs), or ask for a larger workspace.",
      });
    }
    return path;
  }
}
