import { beforeAll, describe, expect, test } from "vitest";
import { compareTiers } from "../../src/compare/compare.ts";
import { makeTier } from "../../src/compare/tier.ts";
import { COMPARE_ROWS, Comparison } from "../../src/model/comparison.ts";
import { listRan, makeComparisonCells } from "../../src/report/comparison-cells.ts";
import { askEngine } from "../drivers/host/containers.ts";
import { lacksEngine, testEngine } from "../support/engine.ts";
import { testEnv } from "../support/home.ts";
import { ensureImage } from "../support/images.ts";
import { IS_SOAK } from "../support/soak.ts";

/**
 * It builds three images and measures two runtimes: the soak does. `compare.test.ts` and `plain.test.ts` have the shape
 * of it each time.
 */
describe.skipIf(!IS_SOAK || lacksEngine("runsc"))("containers", () => {
  let comparison: Comparison;

  beforeAll(async () => {
    for (const name of ["file", "python", "javascript"] as const) await ensureImage(name);
    comparison = await compareTiers({
      tiers: [makeTier("docker", "runc"), makeTier("docker", "runsc")],
      n: 1,
      signal: new AbortController().signal,
      onProgress: () => undefined,
      env: testEnv(),
    });
  }, 290_000);

  test("compare - both runtimes have every row, the plain counterparts included", () => {
    expect(Comparison.parse(JSON.parse(JSON.stringify(comparison)))).toEqual(comparison);
    expect(comparison.tiers.map(({ name, status }) => [name, status])).toEqual([
      ["docker:runc", "ran"],
      ["docker:runsc", "ran"],
    ]);
    for (const { measures } of listRan(comparison))
      for (const { key } of COMPARE_ROWS)
        expect([key, measures[key]]).toEqual([key, expect.objectContaining({ n: 1 })]);
    expect(comparison.plain_via).toMatch(/^(docker CLI|engine API)$/);
    expect(makeComparisonCells(comparison).figures.map(({ title }) => title)).toContain(
      "ratio: warm command to plain `docker exec`",
    );
  });

  test("compare - under runsc the guest sees another kernel, under runc the host's", () => {
    const boundaries = listRan(comparison).map(({ kernel_boundary }) => kernel_boundary);
    expect(boundaries).toEqual(["shared", "own"]);
    expect(listRan(comparison)[1]?.kernel_bug).toContain("gVisor");
  });

  test("compare - the memory of a sandbox under runsc counts its Sentry", () => {
    const [runc, runsc] = listRan(comparison).map(({ measures }) => measures.idle_memory);
    if (!runc || !runsc || "missing" in runc || "missing" in runsc) throw new Error("no figures");
    expect(runsc.p50).toBeGreaterThan(runc.p50 + 5);
  });

  test("compare - no plain container is left", async () => {
    const filters = encodeURIComponent(JSON.stringify({ ancestor: [listRan(comparison)[0]?.isolation.image ?? ""] }));
    const { body } = await askEngine(testEngine().socket, "GET", `/containers/json?all=1&filters=${filters}`);
    const plain = (body as readonly { Labels: Record<string, string> }[]).filter(
      ({ Labels }) => Labels["paddock.sandbox"] === undefined,
    );
    expect(plain).toEqual([]);
  });
});
