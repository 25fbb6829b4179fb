import { type Authority, formatAuthority } from "../address/authority.ts";
import { indexTrusted, type TrustedUpstream } from "../address/trusted-upstreams.ts";
import { breach, type PolicyEntry, type PresetName, parseEntry } from "./policy-entry.ts";
import { type PresetUpstreams, PUBLIC_PRESETS } from "./preset-upstreams.ts";

const MAX_RULES = 1000;
const MAX_SHOWN = 160;

/** A policy as written: checked and canonical, but not yet bound to what the presets mean on this host. */
export interface PolicySource {
  /** Canonical text; parsing it gives the same source. */
  readonly text: string;
  readonly entries: readonly PolicyEntry[];
}

export type Decision =
  | { readonly allowed: true; readonly rule: string; readonly trusted?: TrustedUpstream }
  | { readonly allowed: false; readonly reason: string };

export interface EgressPolicy {
  readonly text: string;
  /** Text for status lines: bounded, and a long list ends with its count. */
  readonly shown: string;
  /** Pure: no lookup, no clock. `host` must be canonical, or nothing matches it. */
  decide(authority: Authority): Decision;
}

/** What the operator's configuration adds to the written policy. */
export interface PolicyContext {
  readonly trusted?: readonly TrustedUpstream[];
  readonly presets?: PresetUpstreams;
}

/** `none`, or comma separated (or listed) presets, `host[:port]`, `*.suffix[:port]` and IP literals. */
export function parsePolicy(raw: string | readonly string[]): PolicySource {
  const texts = (typeof raw === "string" ? raw.split(",") : raw.flatMap((text) => text.split(","))).map((text) =>
    text.trim(),
  );
  if (texts.length === 0 || (texts.length === 1 && texts[0]?.toLowerCase() === "none"))
    return { text: "none", entries: [] };
  if (texts.length > MAX_RULES) throw breach(texts[MAX_RULES] ?? "", `a policy has at most ${MAX_RULES} entries`);
  const entries = [...new Map(texts.map(parseEntry).map((entry) => [entry.text, entry])).values()];
  return { text: entries.map((entry) => entry.text).join(","), entries };
}

/** The presets a policy names; only these have to be resolved before it can be compiled. */
export function listPresets(source: PolicySource): PresetName[] {
  return source.entries.flatMap((entry) => (entry.kind === "preset" ? [entry.preset] : []));
}

/** Binds a policy to this host. Without `presets` they mean the public registries. */
export function compilePolicy(
  source: PolicySource,
  { trusted = [], presets = PUBLIC_PRESETS }: PolicyContext = {},
): EgressPolicy {
  const presetUpstreams = listPresets(source).flatMap((name) => presets[name]);
  const rules = indexRules(source.entries, presets);
  const trustedIndex = indexTrusted([...presetUpstreams, ...trusted]);
  const shown = boundText(source);
  return {
    text: source.text,
    shown,
    decide(authority) {
      const rule = findRule(rules, authority);
      if (!rule) return { allowed: false, reason: `policy "${shown}": ${formatAuthority(authority)} is not listed` };
      const upstream = trustedIndex.get(formatAuthority(authority));
      return upstream ? { allowed: true, rule, trusted: upstream } : { allowed: true, rule };
    },
  };
}

function indexRules(entries: readonly PolicyEntry[], presets: PresetUpstreams): ReadonlyMap<string, string> {
  const rules = new Map<string, string>();
  for (const entry of entries) {
    if (entry.kind === "preset") {
      for (const key of indexTrusted(presets[entry.preset]).keys()) rules.set(key, entry.text);
      continue;
    }
    for (const port of entry.ports) {
      const key = formatAuthority({ host: entry.host, port });
      rules.set(entry.kind === "suffix" ? `*.${key}` : key, entry.text);
    }
  }
  return rules;
}

/** Exact first, then each parent of the name: a suffix rule matches on label boundaries and never the name itself. */
function findRule(rules: ReadonlyMap<string, string>, authority: Authority): string | undefined {
  const key = formatAuthority(authority);
  const exact = rules.get(key);
  if (exact || key.startsWith("*.")) return key.startsWith("*.") ? undefined : exact;
  for (let dot = key.indexOf("."); dot >= 0; dot = key.indexOf(".", dot + 1)) {
    const rule = dot > 0 ? rules.get(`*${key.slice(dot)}`) : undefined;
    if (rule) return rule;
  }
  return undefined;
}

function boundText(source: PolicySource): string {
  if (source.text.length <= MAX_SHOWN) return source.text;
  const comma = source.text.lastIndexOf(",", MAX_SHOWN);
  return `${source.text.slice(0, comma > 0 ? comma : MAX_SHOWN)}... (${source.entries.length} entries)`;
}
