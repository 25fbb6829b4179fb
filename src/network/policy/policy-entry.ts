import { PaddockError } from "../../errors/error.ts";
import { canonicaliseName, formatHost, isIpHost, parseAuthority } from "../address/authority.ts";

export const PRESETS = ["pypi", "npm"] as const;
export type PresetName = (typeof PRESETS)[number];

/** Ports of an entry that names none. */
const DEFAULT_PORTS: readonly number[] = [80, 443];

export type PolicyEntry =
  | { readonly kind: "preset"; readonly preset: PresetName; readonly text: string }
  | {
      readonly kind: "host" | "suffix";
      readonly host: string;
      readonly ports: readonly number[];
      readonly text: string;
    };

/** Second-level labels under which country registries sell names: `*.co.uk` would be a wildcard over strangers. */
const REGISTRY_LABELS = new Set(["ac", "co", "com", "edu", "gob", "gov", "go", "mil", "ne", "net", "or", "org", "sch"]);

export function parseEntry(raw: string): PolicyEntry {
  const text = raw.trim();
  const preset = PRESETS.find((name) => name === text.toLowerCase());
  if (preset) return { kind: "preset", preset, text: preset };
  if (text.startsWith("*.")) return parseSuffixEntry(text);
  return parseHostEntry(text);
}

function parseHostEntry(text: string): PolicyEntry {
  assertNoUrl(text);
  const authority = parseAuthority(text, 0);
  if (!authority.ok) throw breach(text, authority.reason);
  const { host, port } = authority.value;
  if (port === 0 && !isIpHost(host) && !host.includes(".")) {
    throw breach(
      text,
      `a name without a dot needs its port (\`${host}:443\`); the presets are ${PRESETS.join(" and ")}`,
    );
  }
  return makeEntry("host", host, port);
}

function parseSuffixEntry(text: string): PolicyEntry {
  assertNoUrl(text);
  const authority = parseAuthority(text.slice(2), 0);
  if (!authority.ok) throw breach(text, authority.reason);
  const { host, port } = authority.value;
  if (isIpHost(host)) throw breach(text, "a wildcard stands before a name, not an address");
  if (isPublicSuffix(host)) throw breach(text, "a wildcard needs a registered name after it (`*.example.com`)");
  if (!canonicaliseName(`a.${host}`).ok) throw breach(text, "no name this long exists below the wildcard");
  return makeEntry("suffix", host, port);
}

function makeEntry(kind: "host" | "suffix", host: string, port: number): PolicyEntry {
  const shown = kind === "suffix" ? `*.${host}` : formatHost(host);
  if (port === 0) return { kind, host, ports: DEFAULT_PORTS, text: shown };
  return { kind, host, ports: [port], text: `${shown}:${port}` };
}

function isPublicSuffix(host: string): boolean {
  const labels = host.split(".");
  const [second = "", top = ""] = labels.slice(-2);
  return labels.length === 1 || (labels.length === 2 && top.length === 2 && REGISTRY_LABELS.has(second));
}

function assertNoUrl(text: string): void {
  if (text === "") throw breach(text, "an entry is not empty");
  if (text.toLowerCase() === "none") throw breach(text, "`none` stands alone");
  if (text.includes("://")) throw breach(text, "write the host without a scheme");
  if (text.includes("/")) throw breach(text, "paths and address ranges are not part of a policy");
  if (text.split(":").length > 2 && !text.startsWith("[")) throw breach(text, "write an IPv6 address in brackets");
}

/** The one error of the policy grammar; names the entry and the rule it breaks. */
export function breach(entry: string, rule: string): PaddockError {
  const shown = entry.length > 100 ? `${entry.slice(0, 100)}...` : entry;
  return new PaddockError("invalid_policy", `network policy entry ${JSON.stringify(shown)}: ${rule}`, {
    context: { entry: shown, rule },
  });
}
