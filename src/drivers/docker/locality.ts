import { randomBytes } from "node:crypto";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PaddockError } from "../../errors/error.ts";
import type { Engine } from "./engine/engine.ts";
import { podmanSeesOurFiles } from "./podman.ts";

const PROOF_MS = 10_000;
/** No such image exists, so nothing is ever made; the engine checks mounts before images. */
const NO_IMAGE = "paddock/none:none";

async function seesFile(engine: Engine, path: string): Promise<boolean> {
  const Mounts = [{ Type: "bind", Source: path, Target: "/proof", ReadOnly: true }] as const;
  try {
    const body = { Image: NO_IMAGE, HostConfig: { Mounts: [...Mounts] } };
    const id = await engine.createContainer(
      `paddock-proof-${randomBytes(6).toString("hex")}`,
      body,
      AbortSignal.timeout(PROOF_MS),
    );
    await engine.removeContainer(id);
    return true;
  } catch (error) {
    if (error instanceof PaddockError && error.code === "engine_unavailable") throw error;
    return error instanceof PaddockError && error.code === "image_missing";
  }
}

/**
 * Whether the engine sees this machine's files: asked to mount one that we just made under a random name, it finds it,
 * and it does not find one that we did not make. A unix socket alone is no proof: it may lead into a virtual machine or
 * through a tunnel.
 */
export async function seesOurFiles(engine: Engine, folder: string): Promise<boolean> {
  if (engine.endpoint.address.kind !== "unix") return false;
  if (engine.facts.name === "Podman") return podmanSeesOurFiles(engine, folder);
  const path = join(folder, `.proof-${randomBytes(16).toString("hex")}`);
  try {
    if (await seesFile(engine, path)) return false;
    await writeFile(path, "", { flag: "wx", mode: 0o600 });
    return await seesFile(engine, path);
  } finally {
    await rm(path, { force: true });
  }
}
