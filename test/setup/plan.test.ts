import { expect, test } from "vitest";
import type { ZodError } from "zod";
import { PaddockError } from "../../src/errors/error.ts";
import { NODE_TYPES } from "../../src/model/node-type.ts";
import { setupPlanSchema } from "../../src/setup/plan.ts";
import { loadPlan, parsePlan } from "../../src/setup/plans.ts";
import { parseReadiness } from "../../src/setup/readiness.ts";

const minimal = { name: "x", description: "", nodeType: "file" };

function issuesOf(extra: object): string[] {
  const { error } = setupPlanSchema.safeParse({ ...minimal, ...extra });
  return (error as ZodError | undefined)?.issues.map((issue) => issue.path.join(".")) ?? [];
}

test.each(NODE_TYPES)(
  "setup plan - the shipped plan for %s is valid, carries its type and pins exact versions",
  async (nodeType) => {
    const plan = await loadPlan(nodeType);
    expect(plan.nodeType).toBe(nodeType);
    expect(plan.checks).not.toEqual([]);
    for (const requirement of plan.python?.packages ?? []) expect(requirement).toMatch(/^[a-z0-9-]+==\d[\d.]*$/);
    for (const version of Object.values(plan.javascript?.packages ?? {})) expect(version).toMatch(/^\d+\.\d+\.\d+$/);
  },
);

test("setup plan - absent parts get defaults and absent languages stay absent", () => {
  expect(setupPlanSchema.parse(minimal)).toEqual({ ...minimal, files: [], env: {}, checks: [] });
});

test.each([
  ["an unknown field", { shell: "curl x | sh" }, ""],
  ["an option in place of a Python package", { python: { packages: ["--index-url=http://x"] } }, "python.packages.0"],
  ["a URL in place of a Python package", { python: { packages: ["x @ https://x/y.whl"] } }, "python.packages.0"],
  ["an npm package from a URL", { javascript: { packages: { x: "https://x/y.tgz" } } }, "javascript.packages.x"],
  ["an npm package from a folder", { javascript: { packages: { x: "file:../y" } } }, "javascript.packages.x"],
  ["code in place of a module to preload", { python: { preload: ["os; x"] } }, "python.preload.0"],
  ["an absolute file path", { files: [{ path: "/etc/passwd", content: "" }] }, "files.0.path"],
  ["a file path that climbs", { files: [{ path: "a/../../b", content: "" }] }, "files.0.path"],
  ["a setuid mode", { files: [{ path: "a", content: "", mode: "4755" }] }, "files.0.mode"],
  ["NUL in content", { files: [{ path: "a", content: "\0" }] }, "files.0.content"],
  ["a lone surrogate in content", { files: [{ path: "a", content: "\udfff" }] }, "files.0.content"],
  ["a reserved variable", { env: { LD_PRELOAD: "x.so" } }, "env.LD_PRELOAD"],
  ["an empty command", { checks: [{ command: [] }] }, "checks.0.command"],
])("setup plan - %s is refused at its field", (_title, extra, path) => {
  expect(issuesOf(extra)).toContain(path);
});

test.each(["six", "six==1.17.0", "a.b_c[x,y]>=1,<2", "numpy~=2.4"])(
  "setup plan - the requirement %s is accepted",
  (requirement) => {
    expect(issuesOf({ python: { packages: [requirement] } })).toEqual([]);
  },
);

test("setup plan - a bad plan names its source and every wrong field", () => {
  const parse = (): unknown => parsePlan('{"name":"X","description":"","nodeType":"gpu"}', "my plan");
  expect(parse).toThrow(PaddockError);
  expect(parse).toThrow(/my plan[\s\S]*name[\s\S]*nodeType/);
  expect(() => parsePlan("pip install six", "my plan")).toThrow(/my plan is not JSON/);
});

test("setup readiness - a well-formed file is read, anything else is setup_failed", () => {
  const ready = { ok: true, step: "Write", error: null, plan: "a".repeat(64), versions: { six: "1.17.0" } };
  expect(parseReadiness(JSON.stringify(ready))).toEqual(ready);
  const bad = [
    "",
    "null",
    "{}",
    JSON.stringify({ ...ready, extra: 1 }),
    JSON.stringify({ ...ready, plan: "../x" }),
    `"${"x".repeat(1 << 20)}"`,
  ];
  for (const text of bad) expect(() => parseReadiness(text)).toThrow(expect.objectContaining({ code: "setup_failed" }));
});
