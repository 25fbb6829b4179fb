import { execFile } from "node:child_process";
import { basename } from "node:path";
import { promisify } from "node:util";
import { PaddockError } from "../../errors/error.ts";
import { MIB } from "../../model/units.ts";
import type { EngineFacts, EngineRuntime } from "./engine/facts.ts";
import type { RuntimeOverhead } from "./options.ts";

const run = promisify(execFile);

const NO_OVERHEAD: RuntimeOverhead = { memoryBytes: 0, pids: 0, threadsPerTask: 1 };
/**
 * gVisor's kernel lives in the container's cgroup: 23 MiB and 35 threads at rest, two threads and more per task of the
 * guest. It counts the guest's tasks itself (`nproc`), so this limit only has to be one that it never meets: refused a
 * thread, it gives up (docs/docker.md).
 */
const GVISOR_OVERHEAD: RuntimeOverhead = { memoryBytes: 64 * MIB, pids: 64, threadsPerTask: 4 };

/** The runtime that sandboxes are made with, and what it can do. */
export interface ChosenRuntime {
  readonly name: string;
  readonly kind: "oci" | "gvisor";
  readonly path: string | undefined;
  readonly arguments: readonly string[];
  readonly overhead: RuntimeOverhead;
  /** Whether a program inside may connect to a unix socket of this machine. */
  readonly dialsHost: boolean;
  /** Whether the profile we send is applied. */
  readonly appliesSeccomp: boolean;
}

/** The value of the last `--name=value`; a flag without a value is `true`. */
export function readFlag(list: readonly string[], name: string): string | undefined {
  const found = list.findLast((argument) => argument.replace(/^-+/, "").split("=")[0] === name);
  if (found === undefined) return undefined;
  return found.includes("=") ? found.slice(found.indexOf("=") + 1) : "true";
}

const isGvisor = ({ name, path }: EngineRuntime): boolean => basename(path ?? name).startsWith("runsc");

/**
 * Throws `driver_unavailable` where the engine does not know the runtime, or it is set up to reach the host's network.
 */
export function chooseRuntime(facts: EngineFacts, wanted: string | undefined): ChosenRuntime {
  const name = wanted ?? facts.defaultRuntime;
  const found = facts.runtimes.find((runtime) => runtime.name === name);
  if (found === undefined) {
    const names = facts.runtimes.map((runtime) => runtime.name).filter((known) => !known.startsWith("io."));
    throw new PaddockError("driver_unavailable", `the engine has no runtime ${name}; it has ${names.join(", ")}`, {
      hint: "Register it with the engine (daemon.json, `runtimes`) and reload the engine; docs/docker.md shows how.",
    });
  }
  const common = { name, path: found.path, arguments: found.arguments };
  if (!isGvisor(found)) {
    return { ...common, kind: "oci", overhead: NO_OVERHEAD, dialsHost: true, appliesSeccomp: facts.seccomp };
  }
  const sockets = readFlag(found.arguments, "host-uds") ?? "none";
  return {
    ...common,
    kind: "gvisor",
    overhead: GVISOR_OVERHEAD,
    dialsHost: sockets === "open" || sockets === "all",
    appliesSeccomp: readFlag(found.arguments, "oci-seccomp") === "true",
  };
}

/** `release-20260905.0` or what a build from source says; undefined where the program is not on this machine. */
export async function readGvisorVersion(path: string): Promise<string | undefined> {
  const { stdout } = await run(path, ["--version"], { env: {} }).catch(() => ({ stdout: "" }));
  return /runsc version (\S+)/.exec(stdout)?.[1];
}
