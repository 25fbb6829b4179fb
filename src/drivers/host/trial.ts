import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdir } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import type { Home } from "../../config/home.ts";
import { type Owe, removeOrOwe } from "../../lib/owe.ts";
import { removeFolder } from "../../lib/remove-folder.ts";
import { WORKSPACE } from "../../model/guest-paths.ts";
import { makeSandboxId } from "../../model/ids.ts";
import { DEFAULT_LIMITS } from "../../model/limits.ts";
import type { Driver, ProbeFinding } from "../driver.ts";

const TRIAL_TIMEOUT_MS = 15_000;

/** Makes one real sandbox and destroys it: the last word on whether all mechanisms hold together. */
export async function tryWholeSandbox(driver: Driver, home: Home, owe: Owe): Promise<ProbeFinding> {
  const name = "sandbox";
  const id = makeSandboxId();
  const socketDir = join(home.run, id);
  const server = createServer((socket) => socket.destroy());
  const beganAt = performance.now();
  try {
    await mkdir(socketDir);
    server.listen(join(socketDir, "host.sock"));
    await once(server, "listening");
    const spec = { id, workspacePath: WORKSPACE, workspace: { kind: "new" }, limits: DEFAULT_LIMITS } as const;
    const channel = { mounts: [], socketDir, key: randomBytes(16).toString("hex") };
    const sandbox = await driver.create({ ...spec, ...channel }, AbortSignal.timeout(TRIAL_TIMEOUT_MS), owe);
    const madeMs = Math.round(performance.now() - beganAt);
    await removeOrOwe(owe, id, () => sandbox.destroy());
    return { name, status: "ok", detail: `made in ${madeMs} ms, its protections read from the host, destroyed` };
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    return { name, status: "failed", detail, hint: "The detail names the step that failed." };
  } finally {
    server.close();
    await removeFolder(socketDir);
  }
}
