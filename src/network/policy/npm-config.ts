import { dirname, join } from "node:path";
import type { Environment, ReadText } from "./pip-config.ts";

export interface NpmConfig {
  readonly registry: string;
  /** Path of the CA bundle npm verifies with. */
  readonly cafile: string | undefined;
  /** The configuration holds a credential for some registry. */
  readonly hasToken: boolean;
}

export const DEFAULT_NPM_REGISTRY = "https://registry.npmjs.org/";

/** What npm on this host would use outside any project: environment, then the user's file, then the global ones. */
export async function readNpmConfig(env: Environment, home: string, readText: ReadText): Promise<NpmConfig> {
  const fromEnv = (key: string): string | undefined => findEnv(env, `npm_config_${key}`);
  const paths = [
    fromEnv("userconfig") ?? join(home, ".npmrc"),
    ...(fromEnv("globalconfig") ? [fromEnv("globalconfig") as string] : listGlobalFiles(env)),
  ];
  const files = await Promise.all(paths.map((path) => readText(path)));
  const parsed = files.flatMap((text) => (text === undefined ? [] : [parseNpmrc(text, env)]));
  const get = (key: string): string | undefined =>
    fromEnv(key) ?? parsed.map((values) => values.get(key)).find((value) => value !== undefined);
  const hasToken = parsed.some((values) => [...values.keys()].some((key) => /:_(authToken|auth|password)$/.test(key)));
  return { registry: get("registry") ?? DEFAULT_NPM_REGISTRY, cafile: get("cafile"), hasToken };
}

/** npm takes its own variables in any case. */
function findEnv(env: Environment, name: string): string | undefined {
  const key = Object.keys(env).find((candidate) => candidate.toLowerCase() === name && env[candidate] !== "");
  return key === undefined ? undefined : env[key];
}

/** The global file lies below npm's prefix, which is where the installation of Node is; distributions use /etc. */
function listGlobalFiles(env: Environment): string[] {
  const prefix = findEnv(env, "npm_config_prefix") ?? env["PREFIX"] ?? dirname(dirname(process.execPath));
  return [...new Set([join(prefix, "etc/npmrc"), "/usr/local/etc/npmrc", "/usr/etc/npmrc", "/etc/npmrc"])];
}

function parseNpmrc(text: string, env: Environment): Map<string, string> {
  const values = new Map<string, string>();
  for (const line of text.split(/\r?\n/)) {
    const pair = /^\s*([^#;=\s][^=]*?)\s*=\s*(.*?)\s*$/.exec(line);
    if (!pair) continue;
    const value = (pair[2] ?? "").replace(/^(["'])(.*)\1$/, "$2");
    values.set(
      pair[1] ?? "",
      value.replaceAll(/\$\{([^}]+)\}/g, (whole, name: string) => env[name] ?? whole),
    );
  }
  return values;
}
