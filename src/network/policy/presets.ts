import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import type { TrustedUpstream } from "../address/trusted-upstreams.ts";
import { fetchText } from "./fetch-text.ts";
import { type FetchText, listNpmTarballUrls, listPipFileUrls } from "./index-hosts.ts";
import { DEFAULT_NPM_REGISTRY, type NpmConfig, readNpmConfig } from "./npm-config.ts";
import { DEFAULT_PIP_INDEX, type Environment, type PipConfig, type ReadText, readPipConfig } from "./pip-config.ts";
import { listPresets, type PolicySource } from "./policy.ts";
import type { PresetName } from "./policy-entry.ts";
import { type PresetUpstreams, PUBLIC_PRESETS } from "./preset-upstreams.ts";
import { listRegistryUpstreams, mergeUpstreams, type RegistrySource, rememberSuccess } from "./registry-upstreams.ts";

/** The registries that this host's own pip and npm are configured for. */
export interface Registries {
  /** What a sandbox needs in its environment to use them; empty for the public ones. Never holds credentials. */
  readonly environment: Readonly<Record<string, string>>;
  /** What the operator should know, such as credentials that were left out. */
  readonly notices: readonly string[];
  /** Upstreams of a preset. Asks a registry that is not a public one, once, where its files lie. */
  listUpstreams(preset: PresetName): Promise<readonly TrustedUpstream[]>;
}

export interface RegistryEdges {
  readonly readText: ReadText;
  /** `ca` is PEM text of further certificate authorities. */
  makeFetch(ca: string | undefined): FetchText;
}

const HOST_EDGES: RegistryEdges = {
  readText: async (path) => await readFile(path, "utf8").catch(() => undefined),
  makeFetch: (ca) => (url, accept) => fetchText(url, { accept, ca }),
};

/** Reads configuration only; no request is made before `listUpstreams`. */
export async function discoverRegistries(env: Environment, edges: RegistryEdges = HOST_EDGES): Promise<Registries> {
  const home = env["HOME"] || homedir();
  const pip = await readPipConfig(env, home, edges.readText);
  const npm = await readNpmConfig(env, home, edges.readText);
  const sources: Readonly<Record<PresetName, readonly RegistrySource[]>> = {
    pypi: [pip.indexUrl, ...pip.extraIndexUrls].map((url) => makeSource(url, edges, pip.cert, listPipFileUrls)),
    npm: [makeSource(npm.registry, edges, npm.cafile, listNpmTarballUrls)],
  };
  const listUpstreams = async (preset: PresetName): Promise<TrustedUpstream[]> => {
    const lists = sources[preset].map((source) => listSourceUpstreams(preset, source));
    return mergeUpstreams((await Promise.all(lists)).flat());
  };
  return { ...describeEnvironment(pip, npm), listUpstreams };
}

/** The upstreams of the presets that a policy names; others stay empty and cost no request. */
export async function loadPresets(source: PolicySource, registries: Registries): Promise<PresetUpstreams> {
  const loaded: Record<PresetName, readonly TrustedUpstream[]> = { pypi: [], npm: [] };
  for (const preset of listPresets(source)) loaded[preset] = await registries.listUpstreams(preset);
  return loaded;
}

const PUBLIC_URLS: Readonly<Record<PresetName, string>> = { pypi: DEFAULT_PIP_INDEX, npm: DEFAULT_NPM_REGISTRY };

async function listSourceUpstreams(preset: PresetName, source: RegistrySource): Promise<readonly TrustedUpstream[]> {
  return isSameUrl(source.url, PUBLIC_URLS[preset]) ? PUBLIC_PRESETS[preset] : await listRegistryUpstreams(source);
}

function makeSource(
  url: string,
  edges: RegistryEdges,
  caPath: string | undefined,
  listUrls: (url: string, fetchText: FetchText) => Promise<string[]>,
): RegistrySource {
  const listLinked = rememberSuccess(async () => {
    const ca = caPath === undefined ? undefined : await edges.readText(caPath);
    return await listUrls(url, edges.makeFetch(ca));
  });
  return { url, listLinked };
}

function describeEnvironment(pip: PipConfig, npm: NpmConfig): Pick<Registries, "environment" | "notices"> {
  const notices: string[] = [];
  const environment: Record<string, string> = {};
  const set = (name: string, urls: readonly string[]): void => {
    environment[name] = urls.map((url) => stripCredentials(name, url, notices)).join(" ");
  };
  if (!isSameUrl(pip.indexUrl, DEFAULT_PIP_INDEX)) set("PIP_INDEX_URL", [pip.indexUrl]);
  if (pip.extraIndexUrls.length > 0) set("PIP_EXTRA_INDEX_URL", pip.extraIndexUrls);
  if (pip.trustedHosts.length > 0) environment["PIP_TRUSTED_HOST"] = pip.trustedHosts.join(" ");
  if (!isSameUrl(npm.registry, DEFAULT_NPM_REGISTRY)) set("npm_config_registry", [npm.registry]);
  if (npm.hasToken) notices.push("npm: the registry's token is not passed into sandboxes");
  return { environment, notices };
}

function stripCredentials(name: string, url: string, notices: string[]): string {
  const parsed = URL.parse(url);
  if (!parsed || (parsed.username === "" && parsed.password === "")) return url;
  parsed.username = "";
  parsed.password = "";
  notices.push(`${name}: the credentials in the host's configuration are not passed into sandboxes (${parsed.host})`);
  return parsed.href;
}

const isSameUrl = (left: string, right: string): boolean => left.replace(/\/+$/, "") === right.replace(/\/+$/, "");
