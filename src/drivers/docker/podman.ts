import { createHash, randomBytes } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { PaddockError } from "../../errors/error.ts";
import { removeFolder } from "../../lib/remove-folder.ts";
import { installFiles } from "../host/install.ts";
import type { Engine } from "./engine/engine.ts";
import type { EngineFacts } from "./engine/facts.ts";
import type { ContainerBody } from "./options.ts";

// Where Podman's form of Docker's API means something else (tried with 4.3).

/**
 * Podman's API drops the runtime of a request without a word: another than its default would be believed and not used.
 */
export function assertRuntimeIsDefault(facts: EngineFacts, name: string): void {
  if (facts.name !== "Podman" || name === facts.defaultRuntime) return;
  throw new PaddockError(
    "driver_unavailable",
    `Podman takes no runtime per container; it runs ${facts.defaultRuntime}`,
    {
      hint: `Set \`runtime = "${name}"\` in containers.conf and restart Podman's service.`,
    },
  );
}

/** Above a sandbox's limit of processes, which its cgroup holds, and below what a machine allows. */
const chooseProcesses = (pids: number): number => 2 * pids + 64;

const OWN_TMPFS = /,uid=\d+,gid=\d+,mode=0700/;

/**
 * Podman refuses `nr_inodes` (files count as memory of the sandbox all the same) and owners by number; `U` is the
 * guest.
 */
const adaptTmpfs = (options: string): string =>
  options.replace(/,nr_inodes=\d+/, "").replace(OWN_TMPFS, ",U,notmpcopyup");

/**
 * The request in Podman's words. Its own default for `nproc` is above the hard limit of some machines, and then nothing
 * starts; the number counts a uid of the host, which under a rootless engine is ours. It takes hidden paths as a
 * security option only.
 */
export function adaptBody(body: ContainerBody, { rootless }: EngineFacts): ContainerBody {
  const { HostConfig } = body;
  const processes = chooseProcesses(HostConfig.PidsLimit ?? 0);
  const nproc = rootless ? [] : [{ Name: "nproc", Soft: processes, Hard: processes }];
  const tmpfs = Object.entries(HostConfig.Tmpfs ?? {}).map(([path, options]) => [path, adaptTmpfs(options)] as const);
  const adapted = {
    ...HostConfig,
    Tmpfs: Object.fromEntries(tmpfs),
    Ulimits: [...(HostConfig.Ulimits ?? []), ...nproc],
    SecurityOpt: [...(HostConfig.SecurityOpt ?? []), `mask=${(HostConfig.MaskedPaths ?? []).join(":")}`],
  };
  // A forced removal sends this first and waits; nothing in a sandbox is to be asked.
  return { ...body, StopSignal: "SIGKILL", HostConfig: adapted };
}

/**
 * Podman reads a profile from a path of its own machine, where Docker takes the text. Returns the path; the file is
 * made once per content.
 */
export async function installProfile(bin: string, profile: string): Promise<string> {
  const hash = createHash("sha256").update(profile).digest("hex").slice(0, 16);
  const folder = join(bin, `seccomp-${hash}`);
  await installFiles(folder, [{ name: "profile.json", content: profile }]);
  return join(folder, "profile.json");
}

export function assertTakesProfile(facts: EngineFacts, isLocal: boolean): void {
  if (facts.name !== "Podman" || isLocal) return;
  const message = "Podman reads system call filters from files, and this one does not see the files of this machine";
  throw new PaddockError("driver_unavailable", message, { hint: "Use Podman on this machine, or Docker." });
}

/**
 * Whether Podman finds a folder. It looks for images before mounts, and makes the sources of mounts that are not there,
 * so it is asked for a container that has the folder as its root, which is never started.
 */
async function seesFolder(engine: Engine, path: string): Promise<boolean> {
  try {
    const name = `paddock-proof-${randomBytes(6).toString("hex")}`;
    await engine.removeContainer(await engine.createFromFolder(name, path));
    return true;
  } catch (error) {
    if (error instanceof PaddockError && error.code === "engine_unavailable") throw error;
    return false;
  }
}

/** As `seesOurFiles`, by a folder in place of a file. */
export async function podmanSeesOurFiles(engine: Engine, folder: string): Promise<boolean> {
  const path = join(folder, `.proof-${randomBytes(16).toString("hex")}`);
  try {
    if (await seesFolder(engine, path)) return false;
    await mkdir(path, { mode: 0o700 });
    return await seesFolder(engine, path);
  } finally {
    await removeFolder(path);
  }
}
