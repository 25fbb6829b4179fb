import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { makeUserFiles } from "../host/inside.ts";

const OPEN_FOLDER = 0o755;
const OPEN_FILE = 0o644;

/**
 * The users that a container of this uid sees, as files of this machine: bound read-only, they need nobody's hand
 * inside. They lie in the sandbox's run folder, beside the socket's folder that the guest sees, and go with it. Over
 * the paths in `hidden` lies an empty file. Returns the files by their path inside.
 */
export async function installUserFiles(
  runDir: string,
  uid: number,
  gid: number,
  home: string,
  hidden: readonly string[],
): Promise<Readonly<Record<string, string>>> {
  const folder = join(runDir, "users");
  await mkdir(folder, { recursive: true });
  await chmod(folder, OPEN_FOLDER);
  const shown = makeUserFiles(uid, gid, home).map(async ({ path, content }) => {
    const source = join(folder, path.slice("/etc/".length));
    await writeFile(source, content);
    await chmod(source, OPEN_FILE);
    return [path, source] as const;
  });
  const nothing = join(folder, "nothing");
  await writeFile(nothing, "", { mode: 0o444 });
  return Object.fromEntries([...(await Promise.all(shown)), ...hidden.map((path) => [path, nothing])]);
}
