import { beforeAll, describe } from "vitest";
import { lacksEngine } from "../../support/engine.ts";
import { engineRemains } from "../../support/engine-state.ts";
import { TEST_HOME } from "../../support/home.ts";
import { ensureImage } from "../../support/images.ts";
import { SKIPS } from "./expected.ts";
import type { DriverSubject } from "./subject.ts";
import { testDriverConformance } from "./suite.ts";

const BUILD_MS = 290_000;

/** The suite for the docker driver under one runtime of the tests' engine. */
export function testDockerConformance(
  runtime: string,
  open: DriverSubject["open"],
  module: URL,
  more: Pick<DriverSubject, "isolation"> = {},
): void {
  describe.skipIf(lacksEngine(runtime))("conformance", () => {
    // The driver starts from the image tagged last; this tags the current one.
    beforeAll(async () => {
      await ensureImage("base");
    }, BUILD_MS);
    const name = `docker+${runtime}`;
    testDriverConformance({
      name,
      open,
      module: module.href,
      listRemains: engineRemains,
      skips: SKIPS[name] ?? {},
      homeRoot: TEST_HOME,
      ...more,
    });
  });
}
