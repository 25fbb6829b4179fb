import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const NPM = fileURLToPath(new URL("../../node_modules/npm", import.meta.url));

/** Where this machine's npm gets packages from; pip's own configuration lies in /etc. */
const REGISTRY = execFileSync(process.execPath, [join(NPM, "bin/npm-cli.js"), "config", "get", "registry"], {
  stdio: ["ignore", "pipe", "ignore"],
})
  .toString()
  .trim();

/** The same for what the environment says. */
const PACKAGE_SETTINGS = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => /^(?:pip_|npm_config_|https?_proxy$|no_proxy$|ssl_cert_)/i.test(name)),
);

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * The container of one agent: a folder at `/agent`, the machine's programs read-only, everything else absent. Commands
 * really run.
 */
export class StockContainer {
  readonly folder = mkdtempSync(join(tmpdir(), "paddock-stock-"));

  constructor(setup: string | undefined) {
    for (const name of ["code", "content", "logs", "bin"]) mkdirSync(join(this.folder, name));
    writeFileSync(join(this.folder, "bin/npm"), '#!/bin/sh\nexec node /opt/npm/bin/npm-cli.js "$@"\n', { mode: 0o755 });
    if (setup !== undefined) writeFileSync(join(this.folder, "code/setup.sh"), `${setup}\n`, { mode: 0o755 });
  }

  async run(script: string): Promise<Ran> {
    const { promise, resolve, reject } = Promise.withResolvers<Ran>();
    const child = spawn("bwrap", [...this.#mounts(), "/usr/bin/bash", "-c", script], {
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        PATH: "/agent/bin:/opt/node:/usr/bin:/bin",
        HOME: "/home/agent",
        LANG: "C.UTF-8",
        RACTOR_TOKEN: "container-token",
        npm_config_registry: REGISTRY,
        ...PACKAGE_SETTINGS,
        // Node has a list of authorities of its own.
        NODE_EXTRA_CA_CERTS: process.env["NODE_EXTRA_CA_CERTS"] ?? process.env["SSL_CERT_FILE"] ?? "",
      },
    });
    const parts = { stdout: "", stderr: "" };
    child.stdout.on("data", (chunk: Buffer) => (parts.stdout += chunk.toString()));
    child.stderr.on("data", (chunk: Buffer) => (parts.stderr += chunk.toString()));
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, ...parts }));
    return await promise;
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  #mounts(): string[] {
    const links = ["bin", "lib", "lib64", "sbin"].flatMap((name) => ["--symlink", `usr/${name}`, `/${name}`]);
    return [
      ...["--ro-bind", "/usr", "/usr", "--ro-bind", "/etc", "/etc", "--ro-bind", "/proc", "/proc", "--dev", "/dev"],
      ...links,
      ...["--tmpfs", "/tmp", "--dir", "/home/agent", "--ro-bind", dirname(process.execPath), "/opt/node"],
      ...["--ro-bind", NPM, "/opt/npm", "--bind", this.folder, "/agent", "--chdir", "/agent"],
    ];
  }
}
