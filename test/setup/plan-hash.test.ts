import fc from "fast-check";
import { expect, test } from "vitest";
import { setupPlanSchema } from "../../src/setup/plan.ts";
import { canonicalJson, hashTemplate, type TemplateIdentity } from "../../src/setup/plan-hash.ts";
import { generateSetupCode, renderSetup } from "../../src/setup/setup-code.ts";

const plan = setupPlanSchema.parse({
  name: "x",
  description: "",
  nodeType: "python",
  python: { packages: ["six"], preload: ["six"] },
});
const python = { path: "/usr/bin/python3", version: "3.11.2", sha256: "ab" };
const node = { path: "/opt/paddock/node/bin/node", version: "24.21.0", sha256: "cd" };
const identity: TemplateIdentity = {
  plan,
  setupCode: generateSetupCode(plan),
  architecture: "x64",
  envDir: "/opt/paddock/env",
  protocolVersion: 1,
  interpreters: [python, node],
};

test("plan hash - canonical JSON parses back and does not depend on the order of keys", () => {
  const reversed = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(reversed);
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(
      Object.entries(value)
        .toReversed()
        .map(([key, member]) => [key, reversed(member)]),
    );
  };
  fc.assert(
    fc.property(
      fc.jsonValue({ noUnicodeString: false }).filter((value) => !JSON.stringify(value).includes("__proto__")),
      (value) => {
        expect(canonicalJson(reversed(value))).toBe(canonicalJson(value));
        expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(value)));
      },
    ),
  );
});

test("plan hash - what JSON cannot say exactly is refused, undefined properties are left out", () => {
  expect(canonicalJson({ b: 1, a: undefined })).toBe('{"b":1}');
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY, new Date(0), new Map(), () => 1, undefined, 1n]) {
    expect(() => canonicalJson({ a: [value] })).toThrow(TypeError);
  }
});

test("plan hash - every part of a template's identity changes it, the order of interpreters does not", () => {
  const variants: TemplateIdentity[] = [
    identity,
    { ...identity, plan: { ...plan, python: { packages: ["six"], preload: [] } } },
    { ...identity, setupCode: `${identity.setupCode}\n` },
    { ...identity, architecture: "arm64" },
    { ...identity, envDir: "/agent/env" },
    { ...identity, protocolVersion: 2 },
    { ...identity, interpreters: [python] },
    { ...identity, interpreters: [{ ...python, version: "3.12.3" }, node] },
    { ...identity, interpreters: [{ ...python, sha256: "ef" }, node] },
  ];
  const hashes = variants.map(hashTemplate);
  expect(new Set(hashes).size).toBe(variants.length);
  expect(hashes[0]).toMatch(/^[0-9a-f]{64}$/);
  expect(hashTemplate({ ...identity, interpreters: [node, python] })).toBe(hashes[0]);
});

test("plan hash - the hash of setup code changes with the plan and the options, and stands in the code", () => {
  const base = renderSetup(plan);
  expect(base.code).toContain(`plan_hash=${base.hash}`);
  expect(renderSetup(structuredClone(plan))).toEqual(base);
  const others = [
    renderSetup({ ...plan, description: "y" }),
    renderSetup(plan, { envDir: "/agent/env" }),
    renderSetup(plan, { maxAttempts: 1 }),
  ];
  expect(new Set([base, ...others].map(({ hash }) => hash)).size).toBe(4);
});
