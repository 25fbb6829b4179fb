import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { renderComparisonText } from "../../src/cli/render/comparison-view.ts";
import { compareTiers } from "../../src/compare/compare.ts";
import { makeTier } from "../../src/compare/tier.ts";
import { MAKER_MARK } from "../../src/fleet/make/create.ts";
import { COMPARE_ROWS, Comparison, type RanTier } from "../../src/model/comparison.ts";
import { renderComparison, renderMarkdown } from "../../src/report/comparison.ts";
import { listRan, makeComparisonCells } from "../../src/report/comparison-cells.ts";
import { testEnv, testHome } from "../support/home.ts";

/** Whatever engine there is, or none. */
const GONE = makeTier("docker", "no-such-runtime");

let comparison: Comparison;
let bubblewrap: RanTier;

beforeAll(async () => {
  comparison = await compareTiers({
    tiers: [GONE, makeTier("bubblewrap", undefined)],
    n: 2,
    signal: new AbortController().signal,
    onProgress: () => undefined,
    env: { ...testEnv(), PADDOCK_DRIVER: "docker", PADDOCK_RUNTIME: "runsc" },
  });
  const [ran] = listRan(comparison);
  if (ran === undefined) throw new Error(`bubblewrap did not run: ${JSON.stringify(comparison)}`);
  bubblewrap = ran;
}, 240_000);

test("compare - the result has the published shape after JSON", () => {
  expect(Comparison.parse(JSON.parse(JSON.stringify(comparison)))).toEqual(comparison);
});

test("compare - every row that belongs to the tier has figures in order", () => {
  for (const { key, unit } of COMPARE_ROWS.filter((row) => !row.key.startsWith("plain_"))) {
    const measure = bubblewrap.measures[key];
    if (key === "idle_memory" && process.getuid?.() !== 0) continue;
    if (measure === undefined || "missing" in measure) throw new Error(`${key}: ${JSON.stringify(measure)}`);
    expect([key, measure.n, measure.samples.length]).toEqual([key, 2, 2]);
    expect(unit === "MB/s" ? measure.p50 >= measure.p95 : measure.p50 <= measure.p95).toBe(true);
    if (key !== "host_growth") expect(measure.min).toBeGreaterThan(0);
  }
});

test("compare - the first command comes after the supervisor", () => {
  const { create_ready, create_first } = bubblewrap.measures;
  if (!create_ready || !create_first || "missing" in create_ready || "missing" in create_first)
    throw new Error("no figures");
  for (const [index, ready] of create_ready.samples.entries())
    expect(create_first.samples[index]).toBeGreaterThan(ready);
});

test("compare - facts come from the sandbox's own record and a look from inside", () => {
  expect(bubblewrap).toMatchObject({
    isolation: { driver: "bubblewrap", seccomp: "filter" },
    kernel_boundary: "shared",
    guest_kernel: comparison.machine.kernel,
    capabilities: { pause: false, survives_owner: false, memory_snapshot: false },
  });
  expect(bubblewrap.kernel_bug).toContain("host's kernel");
});

test("compare - a tier that cannot be used stands in its place with code, reason and hint", () => {
  expect(comparison.tiers.map(({ name, status }) => [name, status])).toEqual([
    ["docker:no-such-runtime", "unavailable"],
    ["bubblewrap", "ran"],
  ]);
  expect(comparison.tiers[0]).toMatchObject({ code: expect.stringMatching(/./), hint: expect.stringMatching(/./) });
  for (const shown of [renderComparisonText(comparison), renderMarkdown(comparison)])
    expect(shown).toMatch(/not available: docker:no-such-runtime: \w+: ./i);
});

test("compare - no sandbox of it is left", () => {
  expect(comparison.plain_via).toBeUndefined();
  expect(listOurRuns()).toEqual([]);
});

test("compare - text, Markdown and page show the same cells", () => {
  const { figures, facts, tiers } = makeComparisonCells(comparison);
  const shown = [
    renderComparisonText(comparison),
    renderMarkdown(comparison),
    decodeEntities(renderComparison(comparison, new Date())),
  ];
  expect(tiers).toEqual(["bubblewrap"]);
  expect(figures.length).toBeGreaterThan(8);
  for (const text of shown)
    for (const { title, cells } of [...figures, ...facts])
      for (const part of [title, ...cells]) expect(text).toContain(part);
});

test("compare - what a guest says becomes neither markup nor an escape sequence", () => {
  const evil = "6.1\u001b[2J<script>|x";
  const forged: Comparison = {
    ...comparison,
    tiers: [{ ...bubblewrap, kernel_boundary: "own", guest_kernel: evil }],
  };
  expect(renderComparisonText(forged)).not.toContain("\u001b");
  expect(renderComparison(forged, new Date())).not.toContain("<script>");
  expect(renderMarkdown(forged)).toContain("\\|x");
});

test("compare - an abort ends it with `cancelled`", async () => {
  const controller = new AbortController();
  const run = compareTiers({
    tiers: [makeTier("bubblewrap", undefined)],
    n: 1000,
    signal: controller.signal,
    onProgress: (text) => {
      if (text.startsWith("life cycles")) setImmediate(() => controller.abort());
    },
    env: testEnv(),
  });
  await expect(run).rejects.toMatchObject({ code: "cancelled" });
  expect(listOurRuns()).toEqual([]);
});

/** Run folders of sandboxes that this process made. */
function listOurRuns(): string[] {
  return readdirSync(testHome.run).filter((id) => {
    try {
      return (
        (JSON.parse(readFileSync(join(testHome.run, id, MAKER_MARK), "utf8")) as { pid: number }).pid === process.pid
      );
    } catch {
      return false;
    }
  });
}

function decodeEntities(html: string): string {
  const entities: Readonly<Record<string, string>> = {
    "&#39;": "'",
    "&quot;": '"',
    "&lt;": "<",
    "&gt;": ">",
    "&amp;": "&",
  };
  return html.replace(/&(?:#39|quot|lt|gt|amp);/g, (entity) => entities[entity] ?? entity);
}
