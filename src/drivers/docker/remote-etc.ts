import { readFile } from "node:fs/promises";
import { posix } from "node:path";
import { Readable } from "node:stream";
import { pack } from "tar-fs";
import { PaddockError } from "../../errors/error.ts";
import { CA_FILE } from "../../model/guest-paths.ts";
import type { SandboxSpec } from "../driver.ts";
import { type DataFile, makeUserFiles } from "../host/inside.ts";

const EPOCH = new Date(0);
export const ETC = "/etc";

/**
 * Refuses what only an engine on this machine can do: the source of a mount would be a path of the engine's machine.
 * Throws `unsupported`.
 */
export function assertNeedsNoHostFolder({ workspace, mounts }: SandboxSpec): void {
  const what = workspace.kind === "folder" ? workspace.path : mounts[0]?.source;
  if (what === undefined) return;
  throw new PaddockError("unsupported", `the container engine does not see the files of this machine, so not ${what}`, {
    hint: "Use --driver bubblewrap or an engine on this machine; or write and read the files with a task's tool calls.",
  });
}

/** What a sandbox must find in /etc, for an engine that cannot be shown files of this machine. */
export async function listEtcFiles(
  ids: { readonly uid: number; readonly gid: number },
  home: string,
  caBundle: string | undefined,
): Promise<readonly DataFile[]> {
  const users = makeUserFiles(ids.uid, ids.gid, home);
  if (caBundle === undefined) return users;
  const content = await readFile(caBundle, "utf8").catch((cause: unknown) => {
    throw new PaddockError("invalid_config", `the CA bundle ${caBundle} cannot be read`, { cause });
  });
  return [...users, { path: CA_FILE, content }];
}

/** The files as a tar to unpack in /etc: root's, readable by all. */
export function packEtc(files: readonly DataFile[]): Readable {
  const root = { uid: 0, gid: 0, mtime: EPOCH };
  const names = files.map(({ path, content }) => ({ name: posix.relative(ETC, path), content }));
  const folders = new Set(names.map(({ name }) => posix.dirname(name)).filter((folder) => folder !== "."));
  const stream = pack("/", {
    entries: [],
    finalize: false,
    finish: (tar) => {
      for (const name of folders) tar.entry({ ...root, name, type: "directory", mode: 0o755 });
      for (const { name, content } of names) tar.entry({ ...root, name, mode: 0o644 }, content);
      tar.finalize();
    },
  });
  return Readable.from(stream, { objectMode: false });
}
