import type { TrustedUpstream } from "../address/trusted-upstreams.ts";
import type { PresetName } from "./policy-entry.ts";

/** What each preset means on this host: its upstreams are both allowed and trusted. */
export type PresetUpstreams = Readonly<Record<PresetName, readonly TrustedUpstream[]>>;

/** The registries pip and npm use when nothing else is configured. */
export const PUBLIC_PRESETS: PresetUpstreams = {
  pypi: [
    { name: "pypi.org", port: 443 },
    { name: "files.pythonhosted.org", port: 443 },
  ],
  npm: [{ name: "registry.npmjs.org", port: 443 }],
};
