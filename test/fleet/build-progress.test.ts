import { expect, test } from "vitest";
import { describeBuildStep } from "../../src/fleet/environments/build-progress.ts";

test("build progress - a step is one short line, whichever engine says it", () => {
  expect(describeBuildStep("Step 3/17 : RUN set -eu;     echo on")).toBe("3/17 RUN set -eu; echo on");
  expect(describeBuildStep("STEP 12/17: USER 65534:65534")).toBe("12/17 USER 65534:65534");
  const long = describeBuildStep(`Step 1/2 : RUN ${"x".repeat(1000)}`);
  expect(long).toMatch(/^1\/2 RUN x+…$/);
  expect(long).toHaveLength(100);
});

test("build progress - what happens between the steps is left out", () => {
  const lines = [
    " ---> Running in 0a1b2c3d",
    "Removing intermediate container 0a1b2c3d",
    "Get:1 Step 2/3 : no",
    "",
    "npm warn",
  ];
  expect(lines.map(describeBuildStep)).toEqual(lines.map(() => undefined));
});
