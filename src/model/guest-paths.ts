/** Where a sandbox sees its workspace, and where the environment of its template. */
export const WORKSPACE = "/workspace";
export const ENV_DIR = "/opt/paddock/env";
