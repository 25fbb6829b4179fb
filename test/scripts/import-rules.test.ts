import { expect, test } from "vitest";
import { checkImports, type ImportRules, listImports } from "../../scripts/import-rules.ts";

const room = (may: string[], why: string): ImportRules["rooms"][string] => ({ may, holds: "Things.", why });

const rules: ImportRules = {
  about: "",
  rooms: {
    model: room([], "Words."),
    sandbox: room(["model"], "Handle."),
    drivers: room(["model", "sandbox/host"], "Seam."),
    fleet: room(["drivers/driver"], "Fleet."),
    app: room(["drivers", "fleet"], "Root."),
  },
  guarded: { "drivers/bubblewrap": { from: ["drivers/registry"], why: "One file." } },
  folders: { tools: { most: 18, why: "Equals." } },
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
  expect(check("utils/a.ts", "export {}")).toEqual(["utils/a.ts: no room of deps.json holds it"]);
  const bad: ImportRules = {
    ...rules,
    rooms: { ...rules.rooms, model: room(["fleet", "gone"], "Bad.") },
  };
  expect(checkImports(bad, [])).toEqual([
    'deps.json: "model" may import "gone", which is in no room',
    "deps.json: a circle: model -> fleet -> drivers -> model",
    "deps.json: a circle: model -> fleet -> drivers -> sandbox -> model",
  ]);
});

const nested: ImportRules = {
  ...rules,
  rooms: {
    model: room([], "Words."),
    agents: room(["model"], "Agents."),
    "agents/events": room([], "Events."),
    "agents/run": room(["agents/events"], "Runs."),
  },
};

test.each([
  ["what the room around it may", "agents/run/a.ts", 'import "../../model/ids.ts"'],
  ["a room beside it that is listed", "agents/run/a.ts", 'import "../events/log.ts"'],
  ["a room within it", "agents/open.ts", 'import "./run/a.ts"'],
])("import rules - a room within another may import %s", (_title, path, text) => {
  expect(checkImports(nested, [{ path, text }])).toEqual([]);
});

test.each([
  ["a room beside it that is not listed", "agents/events/a.ts", 'import "../run/a.ts"'],
  ["files of the room around it", "agents/run/a.ts", 'import "../open.ts"'],
])("import rules - a room within another may not import %s", (_title, path, text) => {
  expect(checkImports(nested, [{ path, text }])).toEqual([expect.stringContaining(" may import ")]);
});

test("import rules - a room that may import what holds it is a circle", () => {
  const rooms = { ...nested.rooms, "agents/events": room(["agents/run"], "Bad.") };
  expect(checkImports({ ...nested, rooms }, [])).toEqual([
    "deps.json: a circle: agents/events -> agents/run -> agents/events",
  ]);
});

test("import rules - files that import each other are a circle, by types too", () => {
  const files = [
    { path: "model/a.ts", text: 'import type { B } from "./b.ts"' },
    { path: "model/b.ts", text: 'export { c } from "./c.ts"' },
    { path: "model/c.ts", text: 'void import("./a.ts")' },
  ];
  expect(checkImports(rules, files)).toEqual(["a circle of files: model/a -> model/b -> model/c -> model/a"]);
});

test("import rules - a folder holds 16 files, or as many as it has a reason for", () => {
  const list = (folder: string, count: number): { path: string; text: string }[] =>
    Array.from({ length: count }, (_, index) => ({ path: `${folder}/${index}.ts`, text: "export {}" }));
  const roomy = { ...rules, rooms: { ...rules.rooms, tools: room([], "Tools.") } };
  expect(checkImports(roomy, [...list("model", 16), ...list("tools", 18)])).toEqual([]);
  expect(checkImports(roomy, [...list("model", 17), ...list("tools", 19)])).toEqual([
    "model/ holds 17 files; 16 are its budget",
    "tools/ holds 19 files; 18 are its budget",
  ]);
});
