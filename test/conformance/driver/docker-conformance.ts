import { beforeAll, describe } from "vitest";
import { askEngine } from "../../drivers/host/containers.ts";
import { lacksEngine, testEngine } from "../../support/engine.ts";
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
  more: Pick<DriverSubject, "isolation" | "groups"> = {},
): void {
  describe.skipIf(lacksEngine(runtime))("conformance", () => {
    // Without a name the driver starts from the tag, which another data folder's build or prune may have moved.
    beforeAll(async () => {
      const id = await ensureImage("base");
      const path = `/images/${id}/tag?repo=paddock/base&tag=latest`;
      const { status, body } = await askEngine(testEngine().socket, "POST", path);
      if (status !== 201) throw new Error(`the engine does not tag the base: ${status} ${JSON.stringify(body)}`);
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
