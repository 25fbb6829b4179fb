import { createHash } from "node:crypto";
import { join } from "node:path";
import { makeUserFiles } from "../host/inside.ts";
import { installFiles } from "../host/install.ts";

/**
 * The users that a container of this uid sees, as files of this machine: bound read-only, they need nobody's hand inside. One folder serves all
 * sandboxes that ever run under the uid.
 */
export async function installUserFiles(
  bin: string,
  uid: number,
  gid: number,
  home: string,
): Promise<Readonly<Record<string, string>>> {
  const files = makeUserFiles(uid, gid, home);
  const hash = createHash("sha256").update(JSON.stringify(files)).digest("hex").slice(0, 16);
  const folder = join(bin, `users-${uid}-${hash}`);
  const named = files.map(({ path, content }) => ({ path, name: path.slice("/etc/".length), content }));
  await installFiles(folder, named);
  return Object.fromEntries(named.map(({ path, name }) => [path, join(folder, name)]));
}
