import { setTimeout as sleep } from "node:timers/promises";
import type { Lease } from "../fleet/fleet.ts";
import { MIB } from "../model/units.ts";
import { timeCall } from "./call.ts";
import { measureResidentBytes } from "./memory.ts";
import { type PlainContainer, TRUE, timePlain } from "./plain.ts";
import type { Sampler } from "./samples.ts";
import type { Subject } from "./subject.ts";
import { timeTransfer } from "./transfer.ts";

const IDLE_MS = 2000;
/** Time for the supervisor to have its next spare Node ready. */
const SPARE_MS = 500;

/** Create to supervisor ready, to the end of the first command, and destroy. */
export function sampleLife(subject: Subject): Sampler {
  return {
    subject: subject.tier.name,
    keys: ["create_ready", "create_first", "destroy"],
    sample: async () => {
      const begun = performance.now();
      await using lease = await subject.leaseBare();
      const create_ready = performance.now() - begun;
      await runTrue(lease);
      const create_first = performance.now() - begun;
      const closing = performance.now();
      await lease.close();
      return { create_ready, create_first, destroy: performance.now() - closing };
    },
  };
}

/** One recorded call on a warm node. */
export function sampleCommand(subject: Subject, signal: AbortSignal): Sampler {
  const sample = async () => ({ command: await timeCall(subject.file, "run_command", { command: [...TRUE] }, signal) });
  return { subject: subject.tier.name, keys: ["command"], sample };
}

export function samplePython(subject: Subject, lease: Lease, signal: AbortSignal): Sampler {
  const sample = async () => ({ python: await timeCall(lease, "run_python", { code: "import pandas" }, signal) });
  return { subject: subject.tier.name, keys: ["python"], sample };
}

export function sampleJavascript(subject: Subject, lease: Lease, signal: AbortSignal): Sampler {
  const sample = async () => {
    await sleep(SPARE_MS, undefined, { signal });
    return { javascript: await timeCall(lease, "run_javascript", { code: "1+1" }, signal) };
  };
  return { subject: subject.tier.name, keys: ["javascript"], sample };
}

export function sampleTransfer(subject: Subject): Sampler {
  const sample = async () => ({ ...(await timeTransfer(subject.file.sandbox)) });
  return { subject: subject.tier.name, keys: ["write", "read", "host_growth"], sample };
}

/** A new sandbox that ran one command and then nothing for two seconds. */
export function sampleIdleMemory(subject: Subject, signal: AbortSignal): Sampler {
  const sample = async () => {
    await using lease = await subject.leaseBare();
    await runTrue(lease);
    await sleep(IDLE_MS, undefined, { signal });
    return { idle_memory: measureResidentBytes(subject.app.config.home.owners, lease.sandbox.id) / MIB };
  };
  return { subject: subject.tier.name, keys: ["idle_memory"], sample };
}

export function samplePlainSpawn(subject: string): Sampler {
  return { subject, keys: ["plain_spawn"], sample: async () => ({ plain_spawn: await timePlain(TRUE[0], []) }) };
}

export function samplePlainRun(subject: Subject, plain: PlainContainer): Sampler {
  const sample = async () => ({ plain_run: await plain.timeRun() });
  return { subject: subject.tier.name, keys: ["plain_run"], sample };
}

export function samplePlainExec(subject: Subject, plain: PlainContainer): Sampler {
  const sample = async () => ({ plain_exec: await plain.timeExec() });
  return { subject: subject.tier.name, keys: ["plain_exec"], sample };
}

async function runTrue(lease: Lease): Promise<void> {
  const { report, error } = await lease.sandbox.runProcess({ argv: TRUE });
  if (report?.exit_code !== 0) throw error ?? new Error("the first command failed");
}
