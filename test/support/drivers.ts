import { beforeAll, describe } from "vitest";
import type { Config } from "../../src/config/config.ts";
import { lacksEngine } from "./engine.ts";
import { ensureImage } from "./images.ts";
import { lacks } from "./needs.ts";
import { IS_SOAK } from "./soak.ts";

const BUILD_MS = 290_000;

/** A tier that the suites of hostile programs run on. */
export interface TestDriver {
  readonly name: "bubblewrap" | "docker+runc" | "docker+runsc";
  /** For `openTestApp`. */
  readonly config: Partial<Config>;
  /** The guest has a kernel of its own: what it does with it shows less on the host (docs/drivers.md). */
  readonly ownKernel: boolean;
  /**
   * Whether checks of what the host does are run on this tier, too: it does the same on each, so the soak has them all.
   */
  readonly isWhole: boolean;
}

const DRIVERS: readonly TestDriver[] = [
  { name: "bubblewrap", config: { driver: "bubblewrap" }, ownKernel: false, isWhole: true },
  { name: "docker+runc", config: { driver: "docker", runtime: "runc" }, ownKernel: false, isWhole: true },
  { name: "docker+runsc", config: { driver: "docker", runtime: "runsc" }, ownKernel: true, isWhole: IS_SOAK },
];

function lacksDriver({ config }: TestDriver): boolean {
  return config.driver === "docker" ? lacksEngine(config.runtime) : lacks(process.getuid?.() === 0, "root");
}

/** Defines the tests once for each driver. */
export function describeDrivers(define: (driver: TestDriver) => void): void {
  for (const driver of DRIVERS) {
    describe.skipIf(lacksDriver(driver))(driver.name, () => {
      if (driver.config.driver === "docker")
        beforeAll(async () => {
          await ensureImage("file");
        }, BUILD_MS);
      define(driver);
    });
  }
}
