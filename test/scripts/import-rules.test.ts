import { expect, test } from "vitest";
import { checkImports, type ImportRules, listImports } from "../../scripts/import-rules.ts";

const rules: ImportRules = {
  about: "",
  rooms: {
    model: { may: [], why: "Words." },
    sandbox: { may: ["model"], why: "Handle." },
    drivers: { may: ["model", "sandbox/host"], why: "Seam." },
    fleet: { may: ["drivers/driver"], why: "Fleet." },
    app: { may: ["drivers", "fleet"], why: "Root." },
  },
  guarded: { "drivers/bubblewrap": { from: ["drivers/registry"], why: "One file." } },
};

const check = (path: string, text: string): string[] => checkImports(rules, [{ path, text }]);

test("import rules - every form of import is seen, and none in comments, strings or templates", () => {
  const text = `
    import "./a.ts"; import a, { type B } from "./b.ts"; import type { C } from "./c.ts"; export * from "./d.ts";
    export { e } from "./e.ts"; export type { F } from "./f.ts"; const g = await import("./g.ts");
    type H = import("./h.ts").H; function i(value: typeof import("./i.ts")): void { void value; }
    // import "./no1.ts"
    /* export * from "./no2.ts" */ const text = 'import "./no3.ts"'; const code = \`\${a} import("./no4.ts")\`;
    const divided = 1 / 2; const pattern = /import "\\.\\/no5.ts"/; export const own = 1; await import(text);
  `;
  expect(listImports({ path: "x.ts", text })).toEqual(
    ["a", "b", "c", "d", "e", "f", "g", "h", "i"].map((name) => `./${name}.ts`),
  );
});

test("import rules - a file with a syntax error is an error, not a file without imports", () => {
  expect(() => listImports({ path: "x.ts", text: "import {" })).toThrow("x.ts");
});

test.each([
  ["a listed room", "drivers/registry.ts", 'import "../model/ids.ts"'],
  ["a listed file", "drivers/driver.ts", 'import type { X } from "../sandbox/host.ts"'],
  ["its own room", "drivers/bubblewrap/a.ts", 'import "../driver.ts"'],
  ["a guarded path from a listed file", "drivers/registry.ts", 'import "./bubblewrap/driver.ts"'],
  ["a guarded path from within it", "drivers/bubblewrap/a.ts", 'import "./b.ts"'],
  ["packages and built-in modules", "model/a.ts", 'import "zod"; import "node:fs"'],
])("import rules - %s may be imported", (_title, path, text) => {
  expect(check(path, text)).toEqual([]);
});

test.each([
  ["a room that is not listed", "model/ids.ts", 'import "../sandbox/host.ts"', '"model" may import nothing. Words.'],
  [
    "a type of a room that is not listed",
    "sandbox/a.ts",
    'import type { D } from "../drivers/driver.ts"',
    '"sandbox" may import model',
  ],
  [
    "another file of a room with one listed",
    "drivers/driver.ts",
    'import "../sandbox/hosting.ts"',
    "imports sandbox/hosting",
  ],
  [
    "a guarded path from another room",
    "app.ts",
    'import "./drivers/bubblewrap/driver.ts"',
    "only drivers/registry may. One file.",
  ],
  [
    "a guarded path from the same room",
    "drivers/driver.ts",
    'void import("./bubblewrap/a.ts")',
    "only drivers/registry may",
  ],
  ["what lies outside src", "app.ts", 'import "../bench/run.ts"', "outside src/"],
])("import rules - %s may not be imported", (_title, path, text, problem) => {
  expect(check(path, text)).toEqual([expect.stringContaining(problem)]);
});

test("import rules - an undeclared room, a dangling permission and a cycle are reported", () => {
  expect(check("utils/a.ts", "export {}")).toEqual(['utils/a.ts: the room "utils" is not in deps.json']);
  const bad: ImportRules = {
    ...rules,
    rooms: { ...rules.rooms, model: { may: ["fleet", "gone"], why: "Bad." } },
  };
  expect(checkImports(bad, [])).toEqual([
    'deps.json: "model" may import "gone", which is in no room',
    "deps.json: a cycle: model -> fleet -> drivers -> model",
    "deps.json: a cycle: model -> fleet -> drivers -> sandbox -> model",
  ]);
});
