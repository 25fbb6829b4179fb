import { lstat, readlink } from "node:fs/promises";

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
const MASKED_FILES = [
  "cmdline",
  "config.gz",
  "interrupts",
  "kallsyms",
  "kcore",
  "key-users",
  "keys",
  "kmsg",
  "latency_stats",
  "sched_debug",
  "sysrq-trigger",
  "timer_list",
  "timer_stats",
];
const MASKED_FOLDERS = ["acpi", "asound", "scsi"];

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

/** A synthetic file: its path inside and its content. */
export interface DataFile {
  readonly path: string;
  readonly content: string;
}

/** Users, groups and names as the sandbox sees them. There is no resolver, so there is no resolv.conf. */
export function makeDataFiles(hostname: string, home: string): readonly DataFile[] {
  return [
    {
      path: "/etc/passwd",
      content: `root:x:0:0:root:/:/usr/sbin/nologin\nsandbox:x:1000:1000:sandbox:${home}:/bin/bash\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n`,
    },
    { path: "/etc/group", content: "root:x:0:\nsandbox:x:1000:\nnogroup:x:65534:\n" },
    { path: "/etc/hosts", content: `127.0.0.1 localhost ${hostname}\n::1 localhost ip6-localhost\n` },
    {
      path: "/etc/nsswitch.conf",
      content: "passwd: files\ngroup: files\nshadow: files\nhosts: files\nservices: files\nprotocols: files\n",
    },
  ];
}
