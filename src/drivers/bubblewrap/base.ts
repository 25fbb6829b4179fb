import { lstat, readlink } from "node:fs/promises";
import { type DataFile, MASKED_FILES, MASKED_FOLDERS, makeUserFiles } from "../host/inside.ts";

/** One top-level folder of the host as the sandbox shows it. */
export type RootEntry =
  | { readonly kind: "symlink"; readonly path: string; readonly target: string }
  | { readonly kind: "bind"; readonly path: string };

/** What every sandbox shows of the host, looked up once. */
export interface Base {
  /** `/bin`, `/lib` and the like: links into /usr on merged hosts, folders on others. */
  readonly root: readonly RootEntry[];
  readonly hidesUsrLocal: boolean;
  /** Files and folders of the host's /etc that hold nothing private. */
  readonly etc: readonly string[];
  /** Target of /etc/localtime, where it is a link into /usr. */
  readonly localtime: string | null;
  readonly maskedFiles: readonly string[];
  readonly maskedFolders: readonly string[];
}

const ROOT_ENTRIES = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];
const ETC_ENTRIES = [
  "alternatives",
  "ld.so.cache",
  "fonts",
  "ssl/certs",
  "ssl/openssl.cnf",
  "pki/tls/certs",
  "pki/ca-trust/extracted",
];

async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}

async function keepExisting(paths: readonly string[]): Promise<string[]> {
  const found = await Promise.all(paths.map(exists));
  return paths.filter((_, index) => found[index]);
}

async function readLink(path: string): Promise<string | null> {
  return readlink(path).catch(() => null);
}

async function describeRootEntry(path: string): Promise<RootEntry | null> {
  const target = await readLink(path);
  if (target !== null) return { kind: "symlink", path, target };
  return (await exists(path)) ? { kind: "bind", path } : null;
}

export async function describeBase(): Promise<Base> {
  const root = await Promise.all(ROOT_ENTRIES.map((name) => describeRootEntry(`/${name}`)));
  const localtime = await readLink("/etc/localtime");
  return {
    root: root.filter((entry) => entry !== null),
    hidesUsrLocal: await exists("/usr/local"),
    etc: await keepExisting(ETC_ENTRIES.map((name) => `/etc/${name}`)),
    localtime: localtime?.startsWith("/usr/") ? localtime : null,
    maskedFiles: await keepExisting(MASKED_FILES.map((name) => `/proc/${name}`)),
    maskedFolders: await keepExisting(MASKED_FOLDERS.map((name) => `/proc/${name}`)),
  };
}

/** bubblewrap maps the one uid and gid of a sandbox to these (`--uid`, `--gid`). */
const INSIDE_ID = 1000;

/** Users, groups and names as the sandbox sees them. There is no resolver, so there is no resolv.conf. */
export function makeDataFiles(hostname: string, home: string): readonly DataFile[] {
  const hosts = `127.0.0.1 localhost ${hostname}\n::1 localhost ip6-localhost\n`;
  return [...makeUserFiles(INSIDE_ID, INSIDE_ID, home), { path: "/etc/hosts", content: hosts }];
}
