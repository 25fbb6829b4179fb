import type { Driver } from "../../../../src/drivers/driver.ts";
import { SKIPS } from "../expected.ts";
import { open } from "../subjects/bubblewrap.ts";
import { testDriverConformance } from "../suite.ts";
import { FLAWS } from "./flaws.ts";

for (const { name, spoil = (driver: Driver) => driver, skips = SKIPS["bubblewrap"] ?? {} } of FLAWS) {
  testDriverConformance({
    name,
    open: async (home) => spoil(await open(home)),
    skips,
    homeRoot: process.env["PADDOCK_BROKEN_HOME"] ?? "",
  });
}
