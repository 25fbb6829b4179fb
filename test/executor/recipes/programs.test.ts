import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Script } from "node:vm";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { planTask } from "../../../src/executor/planner.ts";
import { embedJavascript, embedPython } from "../../../src/executor/recipes/parameter-literals.ts";
import { RECIPES } from "../../../src/executor/recipes/registry.ts";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "paddock-recipes-"));
});

afterEach(() => rmSync(folder, { recursive: true }));

function python(code: string): { status: number | null; stdout: string; stderr: string } {
  return spawnSync("/usr/bin/python3", ["-I", "-B", "-"], { input: code, cwd: folder, encoding: "utf8" });
}

/** The code of a recipe's call by the start of its title. */
function codeOf(recipe: string, parameters: object, title: string): string {
  const calls = planTask({ recipes: [{ name: recipe, parameters: { ...parameters } }] }).calls;
  const call = calls.find((one) => one.title?.startsWith(title));
  expect(call, title).toBeDefined();
  return (call as { input: { code: string } }).input.code;
}

const FULL: Readonly<Record<string, object>> = {
  "download-clean-csv": { url: "https://h.example/a.csv", required: ["a"] },
};

test("recipe programs - all Python parses and all JavaScript compiles", () => {
  const calls = RECIPES.flatMap(({ name }) => planTask({ recipes: [{ name, parameters: { ...FULL[name] } }] }).calls);
  const codes = (tool: string): string[] =>
    calls.filter((call) => call.tool === tool).map((call) => (call.input as { code: string }).code);
  const programs = codes("run_python");
  expect(programs).toHaveLength(10);
  const parsed = python(embedPython({ programs }, 'import ast\nfor one in PARAMETERS["programs"]: ast.parse(one)\n'));
  expect(parsed).toMatchObject({ status: 0, stderr: "" });
  for (const code of codes("run_javascript")) expect(() => new Script(code)).not.toThrow();
});

const texts = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.string({
    unit: fc.constantFrom('"', "'", "\\", "\n", "\r", "`", "${", "$(id)", '"""', "\u2028", "\0", "\ud800", "😀", "x"),
  }),
);

test("recipe parameters - any text reaches a Python program unchanged and as data", () => {
  const samples = fc.sample(fc.record({ text: texts, list: fc.array(texts), "a\"'\\b": texts }), {
    numRuns: 400,
    seed: 7,
  });
  const programs = samples.map((sample) => embedPython(sample, "print(json.dumps(PARAMETERS))\n"));
  const ran = python(programs.join("\n"));
  expect(ran.stderr).toBe("");
  expect(
    ran.stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as unknown),
  ).toEqual(samples);
});

test("recipe parameters - any text reaches a JavaScript program unchanged and as data", () => {
  fc.assert(
    fc.property(fc.record({ text: texts, list: fc.array(texts) }), (sample) => {
      const code = embedJavascript(sample, "JSON.stringify(parameters)");
      expect(JSON.parse(new Script(code).runInNewContext({}) as string)).toEqual(sample);
    }),
  );
});

const TABLE = "Country Name,Code,Value\nFrance,FRA,1\nFrance,FRA,2\n Namibia ,NA,5\nAruba,ABW,\nAruba,ABW,4\n";

test.each([
  ["right", "Country Name,average_Value,rows\nAruba,4.0,1\nFrance,1.5,2\nNamibia,5.0,1\n", undefined],
  [
    "wrong average",
    "Country Name,average_Value,rows\nAruba,4.0,1\nFrance,1.6,2\nNamibia,5.0,1\n",
    "France: averages.csv says 1.6",
  ],
  [
    "missing group",
    "Country Name,average_Value,rows\nAruba,4.0,1\nFrance,1.5,2\n",
    "averages.csv has 2 groups, clean.csv has 3",
  ],
  [
    "wrong count",
    "Country Name,average_Value,rows\nAruba,4.0,2\nFrance,1.5,2\nNamibia,5.0,1\n",
    "Aruba: averages.csv says 4.0 from 2 rows",
  ],
  ["empty", "Country Name,average_Value,rows\n", "averages.csv has no rows"],
])("recipe checks - averages: %s", (_name, result, problem) => {
  writeFileSync(join(folder, "clean.csv"), TABLE);
  writeFileSync(join(folder, "averages.csv"), result);
  const ran = python(codeOf("average-by-group", {}, "Check"));
  expect([ran.status, ran.stderr.includes(problem ?? "")]).toEqual([problem === undefined ? 0 : 1, true]);
});

test.each([
  ["right", "Country Name,maximum_Value\nNamibia,5\nAruba,4.0\n", 0],
  ["wrong order", "Country Name,maximum_Value\nAruba,4.0\nNamibia,5\n", 1],
  ["wrong value", "Country Name,maximum_Value\nNamibia,6\nAruba,4.0\n", 1],
  ["too short", "Country Name,maximum_Value\nNamibia,5\n", 1],
])("recipe checks - top groups: %s", (_name, result, status) => {
  writeFileSync(join(folder, "clean.csv"), TABLE);
  writeFileSync(join(folder, "top2.csv"), result);
  expect(python(codeOf("top-by-maximum", { n: 2 }, "Check")).status).toBe(status);
});

test.each([
  ["right", "a,b\n1,x\n", 0, {}],
  ["a row too few", "a,b\n", 1, {}],
  ["a missing value left", "a,b\n1,x\n,y\n", 1, {}],
  ["other columns", "a\n1\n", 1, {}],
  ["only one column required", "a,b\n1,x\n2,NaN\n", 0, { required: ["a"] }],
])("recipe checks - cleaned table: %s", (_name, result, status, parameters) => {
  writeFileSync(
    join(folder, "raw.csv"),
    "\ufeffa,b\n1,x\n\n2,NaN\n, y\n3\n".replace("3\n", status === 0 && "required" in parameters ? "" : "3\n"),
  );
  writeFileSync(join(folder, "clean.csv"), result);
  const given = { url: "http://h.example/raw.csv", ...parameters };
  expect(python(codeOf("download-clean-csv", given, "Check")).status).toBe(status);
});

test("recipe checks - the DataFrame's file must hold the rows that were built", () => {
  const check = codeOf("build-dataframe", {}, "Check");
  const header = "product,price,sales,category,size\n";
  const rows =
    "Espresso,2.5,150,Coffee,Small\nLatte,4.25,210,Coffee,Large\nGreen tea,3.1,90,Tea,Medium\nCroissant,2.95,120,Pastry,Medium\nBlueberry muffin,3.4,75,Pastry,Large\n";
  writeFileSync(join(folder, "coffee_data.csv"), header + rows);
  expect(python(check).status).toBe(0);
  writeFileSync(join(folder, "coffee_data.csv"), header + rows.replace("150", "151"));
  expect(python(check).status).toBe(1);
});

function addRoute(source: string): { status: number | null; stderr: string; source: string } {
  writeFileSync(join(folder, "server.js"), source);
  const ran = spawnSync(process.execPath, ["-e", codeOf("express-add-post", {}, "Add POST")], {
    cwd: folder,
    encoding: "utf8",
  });
  return { status: ran.status, stderr: ran.stderr, source: readFileSync(join(folder, "server.js"), "utf8") };
}

test("recipe edit - the route is put before the server listens, once, under the application's own name", () => {
  const before = 'const express = require("express");\nconst api = express();\n\nconst server = api.listen(3000);\n';
  const once = addRoute(before);
  expect(once).toMatchObject({ status: 0, stderr: "" });
  expect(once.source.indexOf('api.post("/data", express.json()')).toBeGreaterThan(0);
  expect(once.source.indexOf("api.post(")).toBeLessThan(once.source.indexOf("const server = api.listen"));
  expect(addRoute(once.source).source).toBe(once.source);
});

test("recipe edit - a file that is no Express server is left alone and named", () => {
  const broken = addRoute("console.log(1)\n");
  expect([broken.status, broken.source]).toEqual([1, "console.log(1)\n"]);
  expect(broken.stderr).toContain("server.js makes no Express application");
});
