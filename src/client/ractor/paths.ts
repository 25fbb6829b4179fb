/** Only `/agent` survives on a Ractor server; everything of ours lies in one folder of it. */
export const AGENT_ROOT = "/agent";
export const BASE = `${AGENT_ROOT}/.paddock`;
export const ENV_DIR = `${BASE}/env`;
export const WORKSPACE = `${AGENT_ROOT}/workspace`;

/** As the server's file interface names a path: relative to `/agent`. Undefined for what lies elsewhere. */
export function belowAgent(path: string): string | undefined {
  if (path === AGENT_ROOT) return "";
  return path.startsWith(`${AGENT_ROOT}/`) ? path.slice(AGENT_ROOT.length + 1) : undefined;
}
