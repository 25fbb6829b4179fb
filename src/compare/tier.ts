import { DRIVERS, type DriverName } from "../config/config.ts";
import { PaddockError } from "../errors/error.ts";

/** A driver and, under a container engine, a runtime: what a user chooses between. */
export interface Tier {
  readonly name: string;
  readonly driver: DriverName;
  readonly runtime: string | undefined;
}

/** Compared unless `--drivers` says otherwise, with what else the engine offers. */
export const KNOWN_TIERS: readonly Tier[] = [
  makeTier("bubblewrap", undefined),
  makeTier("docker", "runc"),
  makeTier("docker", "runsc"),
];

const RUNTIME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;

export function makeTier(driver: DriverName, runtime: string | undefined): Tier {
  return { name: runtime === undefined ? driver : `${driver}:${runtime}`, driver, runtime };
}

/** `bubblewrap,docker:runc,docker:runsc`; a driver's name alone means its known tiers. Throws `invalid_request`. */
export function parseTiers(text: string): readonly Tier[] {
  const tiers = text.split(",").flatMap((word) => parseTier(word.trim()));
  return tiers.filter(({ name }, index) => tiers.findIndex((other) => other.name === name) === index);
}

function parseTier(word: string): readonly Tier[] {
  const [name = "", runtime, ...rest] = word.split(":");
  const driver = DRIVERS.find((known) => known === name);
  if (driver === undefined || rest.length > 0) throw refuse(word);
  if (runtime === undefined) return KNOWN_TIERS.filter((tier) => tier.driver === driver);
  if (driver !== "docker" || !RUNTIME.test(runtime)) throw refuse(word);
  return [makeTier(driver, runtime)];
}

function refuse(word: string): PaddockError {
  return new PaddockError("invalid_request", `--drivers names ${JSON.stringify(word)}, which is no driver`, {
    hint: "Use bubblewrap, docker or docker:RUNTIME, comma separated.",
  });
}

/** One fixed sentence for each way in which a guest's system calls end; which one it is was seen from inside. */
export function explainKernelBug({ runtime }: Tier, boundary: "shared" | "own"): string {
  if (boundary === "shared")
    return "The guest's system calls reach the host's kernel: a bug there that our seccomp list lets through is an escape.";
  if (runtime?.startsWith("runsc"))
    return "The guest's system calls end in gVisor's kernel in user space: an escape needs a bug there, and then one in the host's kernel through the few calls gVisor may make.";
  return "The guest's system calls end in a kernel of its own: an escape needs a bug in what lies below that kernel.";
}
