import { test } from "vitest";
import type { DriverCapabilities } from "../../../src/drivers/driver.ts";
import type { Bed } from "./bed.ts";
import type { DriverSubject } from "./subject.ts";

const CHECK_MS = 90_000;

/** What a check needs that a driver may lack. */
export type Need = keyof DriverCapabilities | "volumes" | "module";

export interface CheckOptions {
  readonly needs?: readonly Need[];
  readonly timeoutMs?: number;
}

/** Makes the checks of one subject. A check that is left out says why; under CI only a listed one may be. */
export class Checks {
  readonly subject: DriverSubject;
  readonly #bed: () => Bed;
  readonly #titles = new Set<string>();
  #leavesOut = false;

  constructor(subject: DriverSubject, bed: () => Bed) {
    this.subject = subject;
    this.#bed = bed;
  }

  /** Titles are the keys of `DriverSubject.skips`. */
  check(title: string, body: (bed: Bed) => Promise<void>, options: CheckOptions = {}): void {
    this.#titles.add(title);
    if (this.#leavesOut) return;
    test(title, { timeout: options.timeoutMs ?? CHECK_MS }, async (context) => {
      const bed = this.#bed();
      const listed = this.subject.skips?.[title];
      const lacking = (options.needs ?? []).filter((need) => !this.#has(bed, need));
      const reason = listed ?? (lacking.length > 0 ? `the driver has no ${lacking.join(", ")}` : undefined);
      if (reason === undefined) return await body(bed);
      if (listed === undefined && process.env["CI"]) throw new Error(`left out, and not listed as a skip: ${reason}`);
      console.warn(`${this.subject.name}: left out: ${title}: ${reason}`);
      context.skip(reason);
    });
  }

  /** Notes the titles of a group that is not run. */
  leaveOut(define: (checks: Checks) => void): void {
    this.#leavesOut = true;
    define(this);
    this.#leavesOut = false;
  }

  /** The last check: a skip that names no check hides nothing and must go. */
  checkSkips(): void {
    test("every listed skip names a check", () => {
      const unknown = Object.keys(this.subject.skips ?? {}).filter((title) => !this.#titles.has(title));
      if (unknown.length > 0) throw new Error(`no such checks: ${unknown.join("; ")}`);
    });
  }

  #has(bed: Bed, need: Need): boolean {
    if (need === "module") return this.subject.module !== undefined;
    return need === "volumes" ? bed.driver.volumes !== undefined : bed.driver.capabilities[need];
  }
}
