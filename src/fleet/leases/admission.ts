import { readFileSync } from "node:fs";
import { totalmem } from "node:os";
import type { ProbeFinding } from "../../drivers/driver.ts";
import { PaddockError } from "../../errors/error.ts";
import type { Limits, Requests } from "../../model/limits.ts";

export interface AdmissionOptions {
  /** The sum of memory limits may exceed the machine by this factor. */
  readonly overcommit: number;
  /** Bytes the machine offers; default: its memory less a reserve of a tenth. */
  readonly memoryBytes?: number;
  /** Processes the machine offers to sandboxes. */
  readonly pids?: number;
  /**
   * Processes and threads that the limits of all sandboxes may add up to; default: three quarters of what the kernel
   * can number.
   */
  readonly tasks?: number;
  /** Descriptors this process may open; default: its limit (`ulimit -n`). */
  readonly descriptors?: number;
}

/** A sandbox's connections (64, docs/protocol.md), handshakes, upstream sockets of its proxy and counters. */
const DESCRIPTORS_PER_SANDBOX = 140;
const OWN_DESCRIPTORS = 128;
/** Fewer than this is said by `paddock doctor`. */
const FEW_SANDBOXES = 8;
const SHARE_OF_TASKS = 0.75;

/** Counts what live sandboxes of this process request; limits are checked against a stated over-commit. */
export class Admission {
  readonly #memoryBytes: number;
  readonly #pids: number;
  readonly #tasks: number;
  readonly #overcommit: number;
  readonly #descriptors: number;
  #requestedMemory = 0;
  #requestedPids = 0;
  #limitMemory = 0;
  #limitPids = 0;
  #sandboxes = 0;

  constructor(options: AdmissionOptions) {
    this.#memoryBytes = options.memoryBytes ?? totalmem() * 0.9;
    this.#pids = options.pids ?? 16_384;
    this.#tasks = options.tasks ?? taskLimit() * SHARE_OF_TASKS;
    this.#overcommit = options.overcommit;
    this.#descriptors = (options.descriptors ?? descriptorLimit()) - OWN_DESCRIPTORS;
  }

  /**
   * Whether the descriptors of this process are enough for a sandbox at all; admission would refuse each one, and
   * callers wait in vain.
   */
  describeDescriptors(): ProbeFinding {
    const name = "open files";
    const sandboxes = Math.floor(this.#descriptors / DESCRIPTORS_PER_SANDBOX);
    const detail = `room for ${sandboxes === Number.POSITIVE_INFINITY ? "any number of" : Math.max(0, sandboxes)} sandboxes at once`;
    if (sandboxes >= FEW_SANDBOXES) return { name, status: "ok", detail };
    const least = OWN_DESCRIPTORS + FEW_SANDBOXES * DESCRIPTORS_PER_SANDBOX;
    const hint = `Raise the limit of open files of this process (ulimit -n) to ${least} or more.`;
    return { name, status: sandboxes < 1 ? "failed" : "warning", detail, hint };
  }

  /** Throws `driver_unavailable` where there is no room for one. */
  assertDescriptors(): void {
    const { status, detail, hint } = this.describeDescriptors();
    if (status === "failed")
      throw new PaddockError(
        "driver_unavailable",
        `too few open files are allowed: ${detail}`,
        hint === undefined ? {} : { hint },
      );
  }

  /**
   * Admits one sandbox or throws `capacity` (context `isHopeless` when it would not fit an empty machine either); the
   * returned function gives its share back (once).
   */
  admit(requests: Requests, limits: Limits): () => void {
    const memory = this.#requestedMemory + requests.memoryBytes;
    const pids = this.#requestedPids + requests.pids;
    const limitMemory = this.#limitMemory + limits.memoryBytes;
    const descriptors = (this.#sandboxes + 1) * DESCRIPTORS_PER_SANDBOX;
    if (limits.memoryBytes > this.#memoryBytes * this.#overcommit)
      throw new PaddockError("capacity", "the memory limit alone is more than this machine gives to all sandboxes", {
        hint: "Ask for less; waiting does not help.",
        context: { isHopeless: true },
      });
    if (limits.pids > this.#tasks)
      throw new PaddockError("capacity", "the limit of processes alone is more than this machine can number", {
        hint: "Ask for less; waiting does not help.",
        context: { isHopeless: true },
      });
    if (descriptors > this.#descriptors) throw full("descriptors", descriptors, this.#descriptors);
    if (memory > this.#memoryBytes) throw full("requested memory", memory, this.#memoryBytes);
    if (pids > this.#pids) throw full("requested processes", pids, this.#pids);
    if (limitMemory > this.#memoryBytes * this.#overcommit)
      throw full("memory limits", limitMemory, this.#memoryBytes * this.#overcommit);
    const limitPids = this.#limitPids + limits.pids;
    if (limitPids > this.#tasks) throw full("process limits", limitPids, this.#tasks);
    return this.count(requests, limits);
  }

  /** Counts a sandbox that lives already; those that want to be made have to make do with the rest. */
  count(requests: Requests, limits: Limits): () => void {
    this.#requestedMemory += requests.memoryBytes;
    this.#requestedPids += requests.pids;
    this.#limitMemory += limits.memoryBytes;
    this.#limitPids += limits.pids;
    this.#sandboxes += 1;
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#requestedMemory -= requests.memoryBytes;
      this.#requestedPids -= requests.pids;
      this.#limitMemory -= limits.memoryBytes;
      this.#limitPids -= limits.pids;
      this.#sandboxes -= 1;
    };
  }
}

function full(what: string, wanted: number, available: number): PaddockError {
  return new PaddockError(
    "capacity",
    `the ${what} of all sandboxes would be ${Math.round(wanted)} of ${Math.round(available)}`,
  );
}

/** Soft limit of open files of this process; Node raises it to the hard limit at start. */
function descriptorLimit(): number {
  const line = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync("/proc/self/limits", "utf8"));
  return Number(line?.[1] ?? Number.POSITIVE_INFINITY) || Number.POSITIVE_INFINITY;
}

/** How many processes and threads this kernel has numbers and room for. */
function taskLimit(): number {
  const files = ["/proc/sys/kernel/pid_max", "/proc/sys/kernel/threads-max"];
  return Math.min(...files.map((file) => Number(readFileSync(file, "utf8"))));
}
