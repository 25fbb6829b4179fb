import { release } from "node:os";
import type { PaddockError } from "../errors/error.ts";
import { COMPARE_ROWS, type RanTier, type UnavailableTier } from "../model/comparison.ts";
import type { Samples } from "./samples.ts";
import type { Subject } from "./subject.ts";
import { explainKernelBug, type Tier } from "./tier.ts";

/**
 * What a tier is, from the record of its sandbox, its driver's capabilities and a look from inside, with its figures.
 */
export function describeTier(subject: Subject, samples: Samples): RanTier {
  const { pause, survivesOwner, memorySnapshot } = subject.app.driver.capabilities;
  const boundary = subject.guestKernel === release() ? "shared" : "own";
  const measures: RanTier["measures"] = {};
  for (const { key } of COMPARE_ROWS) {
    const measure = samples.measure(subject.tier.name, key);
    if (measure !== undefined) measures[key] = measure;
  }
  return {
    ...nameTier(subject.tier),
    status: "ran",
    isolation: { ...subject.file.sandbox.host.isolation },
    kernel_boundary: boundary,
    guest_kernel: subject.guestKernel,
    kernel_bug: explainKernelBug(subject.tier, boundary),
    capabilities: { pause, survives_owner: survivesOwner, memory_snapshot: memorySnapshot },
    measures,
  };
}

export function describeUnavailable(tier: Tier, { code, message, hint }: PaddockError): UnavailableTier {
  return { ...nameTier(tier), status: "unavailable", code, reason: message, hint };
}

function nameTier({ name, driver, runtime }: Tier): { name: string; driver: string; runtime?: string } {
  return { name, driver, ...(runtime === undefined ? {} : { runtime }) };
}
