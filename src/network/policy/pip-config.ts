import { join } from "node:path";

/** Text of a file, or undefined when it cannot be read. */
export type ReadText = (path: string) => Promise<string | undefined>;

export type Environment = Readonly<Record<string, string | undefined>>;

export interface PipConfig {
  readonly indexUrl: string;
  readonly extraIndexUrls: readonly string[];
  readonly trustedHosts: readonly string[];
  /** Path of the CA bundle pip verifies with. */
  readonly cert: string | undefined;
}

export const DEFAULT_PIP_INDEX = "https://pypi.org/simple";

/**
 * What pip on this host would use: environment over files, later files over earlier ones, `[install]` over `[global]`.
 */
export async function readPipConfig(env: Environment, home: string, readText: ReadText): Promise<PipConfig> {
  const values = new Map<string, string>();
  const files = await Promise.all(listPipFiles(env, home).map((path) => readText(path)));
  const sections = files.flatMap((text) => (text === undefined ? [] : parseIni(text)));
  for (const section of ["global", "install"]) {
    for (const entry of sections) if (entry.section === section) values.set(entry.key, entry.value);
  }
  const get = (key: string): string | undefined =>
    env[`PIP_${key.toUpperCase().replaceAll("-", "_")}`]?.trim() || values.get(key);
  return {
    indexUrl: get("index-url") ?? DEFAULT_PIP_INDEX,
    extraIndexUrls: splitList(get("extra-index-url")),
    trustedHosts: splitList(get("trusted-host")),
    cert: get("cert"),
  };
}

/** In pip's order, weakest first. */
function listPipFiles(env: Environment, home: string): string[] {
  const { PIP_CONFIG_FILE: own, VIRTUAL_ENV: venv } = env as { PIP_CONFIG_FILE?: string; VIRTUAL_ENV?: string };
  if (own === "/dev/null") return [];
  const configHome = env["XDG_CONFIG_HOME"] || join(home, ".config");
  const siteFolders = (env["XDG_CONFIG_DIRS"] || "/etc/xdg").split(":").filter((folder) => folder !== "");
  return [
    ...siteFolders.map((folder) => join(folder, "pip/pip.conf")),
    "/etc/pip.conf",
    join(home, ".pip/pip.conf"),
    join(configHome, "pip/pip.conf"),
    ...(venv ? [join(venv, "pip.conf")] : []),
    ...(own ? [own] : []),
  ];
}

interface IniEntry {
  readonly section: string;
  readonly key: string;
  readonly value: string;
}

/**
 * The INI dialect of Python's configparser as far as pip files use it: `=` or `:`, comments, indented continuation
 * lines.
 */
function parseIni(text: string): IniEntry[] {
  const entries: { section: string; key: string; value: string }[] = [];
  let section = "";
  for (const line of text.split(/\r?\n/)) {
    const trimmed = line.trim();
    const last = entries.at(-1);
    if (trimmed === "" || /^[#;]/.test(trimmed)) continue;
    const header = /^\[([^\]]+)\]/.exec(trimmed)?.[1];
    const pair = /^([^=:]+?)\s*[=:]\s*(.*)$/.exec(trimmed);
    if (/^\s/.test(line) && last?.section === section) last.value = `${last.value} ${trimmed}`.trim();
    else if (header !== undefined) section = header;
    else if (pair) entries.push({ section, key: normaliseKey(pair[1] ?? ""), value: pair[2] ?? "" });
  }
  return entries;
}

const normaliseKey = (key: string): string => key.toLowerCase().replaceAll("_", "-").replace(/^--/, "");

const splitList = (value: string | undefined): string[] => (value ?? "").split(/\s+/).filter((part) => part !== "");
