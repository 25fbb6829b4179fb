/** Where a sandbox sees its workspace. */
export const WORKSPACE = "/workspace";

const ROOT = "/opt/paddock";
/** The environment of its template. */
export const ENV_DIR = `${ROOT}/env`;
/** What a template's build downloads, kept for the next one. */
export const CACHE_DIR = `${ROOT}/cache`;
export const SUPERVISOR_DIR = `${ROOT}/supervisor`;
export const NODE_DIR = `${ROOT}/node`;

/** The folder of the host's socket, read-only. */
export const SOCKET_DIR = "/run/paddock";
/** The operator's CA bundle. */
export const CA_FILE = "/etc/paddock/ca.pem";
/** The system's interpreter, the same outside and inside. */
export const PYTHON = "/usr/bin/python3";
