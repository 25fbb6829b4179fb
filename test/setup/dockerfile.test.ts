import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { NODE_TYPES } from "../../src/model/node-type.ts";
import { renderImage } from "../../src/setup/dockerfile.ts";
import { setupPlanSchema } from "../../src/setup/plan.ts";
import { loadPlan } from "../../src/setup/plans.ts";

const root = new URL("../../", import.meta.url);

const makePlan = (changes: Record<string, unknown>): ReturnType<typeof setupPlanSchema.parse> =>
  setupPlanSchema.parse({ name: "file", description: "", nodeType: "file", ...changes });

/** To make them again after a change of a plan: `npx vitest run test/setup/dockerfile.test.ts -u` (docs/images.md). */
test.for(NODE_TYPES)("dockerfile - images/%s/Dockerfile is what its plan renders to", async (type) => {
  const rendered = renderImage(await loadPlan(type));
  await expect(rendered.dockerfile).toMatchFileSnapshot(`../../images/${type}/Dockerfile`);
});

test("dockerfile - a change of the plan changes the file and both hashes", () => {
  const before = renderImage(makePlan({ python: { packages: ["six==1.17.0"] } }));
  const after = renderImage(makePlan({ python: { packages: ["six==1.16.0"] } }));
  expect(after.planHash).not.toBe(before.planHash);
  expect(after.setupHash).not.toBe(before.setupHash);
  expect(after.dockerfile).not.toBe(before.dockerfile);
});

test("dockerfile - values of variables reach the image unread by Docker", () => {
  const { dockerfile } = renderImage(makePlan({ env: { GREETING: 'a "b" $HOME \\' } }));
  expect(dockerfile).toContain(String.raw`GREETING="a \"b\" \$HOME \\"`);
});

test("dockerfile - a variable that would end its line is refused", () => {
  expect(() => renderImage(makePlan({ env: { LINES: "one\nRUN evil" } }))).toThrow(/control characters of LINES/);
});

test("dockerfile - a check's words stay one line of JSON, whatever they hold", () => {
  const { dockerfile } = renderImage(makePlan({ checks: [{ command: ["printf", "%s", "a\n'b' \\"] }] }));
  expect(dockerfile.split("\n")).toContain(String.raw`RUN ["printf","%s","a\n'b' \\"]`);
});

test("dockerfile - every image ends as nobody, after checks that can fail its build", () => {
  for (const type of ["base", ...NODE_TYPES]) {
    const lines = readFileSync(new URL(`images/${type}/Dockerfile`, root), "utf8");
    expect(lines.match(/^USER .*$/gm)?.at(-1)).toBe("USER 65534:65534");
    expect(lines).toContain('test -z "$(find / -xdev -type f -perm /6000)"');
  }
});

test("dockerfile - the base pins the Node that package.json pins", () => {
  const base = readFileSync(new URL("images/base/Dockerfile", root), "utf8");
  const manifest = JSON.parse(readFileSync(new URL("package.json", root), "utf8")) as {
    devDependencies: { node: string };
  };
  expect(base).toContain(`ARG NODE_VERSION=${manifest.devDependencies.node}\n`);
});
