import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { JavaScriptClient, runJavaScript } from "./javascriptClient.ts";

const folder = realpathSync(mkdtempSync(join(tmpdir(), "paddock-runner-")));
afterAll(() => rmSync(folder, { recursive: true }));

function addPackage(parent: string, name: string): void {
  const path = join(folder, parent, "node_modules", name);
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, "package.json"), JSON.stringify({ name, main: "main.js" }));
  writeFileSync(join(path, "main.js"), `module.exports = { name: ${JSON.stringify(name)} };`);
}

addPackage(".", "local");
addPackage("template", "shared");
writeFileSync(
  join(folder, "helper.mjs"),
  "export const name = 'helper';\nexport function fail() { throw new Error('deep'); }",
);

describe("the value of a script", () => {
  test.each([
    ["1 + 1", "2"],
    ["'text'", "text"],
    ["({ a: { b: [1] } })", "{ a: { b: [ 1 ] } }"],
    ["{ a: 1 }", "{ a: 1 }"],
    ["const x = 4; x * 2", "8"],
    ["undefined", null],
    ["let y = 1;", null],
    ["null", "null"],
    ["Promise.resolve(7)", "7"],
    ["if (true) return 9", "9"],
    ["'use strict'; (function () { return this; })()", null],
    ["var f = 1; function f() {} f", "1"],
    ["const r = await Promise.resolve(4); r + 1", "5"],
    ["for await (const x of [1]) console.error(x);\n[10n, -0][await 0]", "10n"],
    ["await Promise.resolve(NaN)", "NaN"],
    ["import { sep } from 'node:path'; export default sep", "/"],
    [
      `const { sep } = await import('node:path'); \`\${await 1} import(2) \${'import(3)'} \${sep}\``,
      "1 import(2) import(3) /",
    ],
  ])("%s gives %s", async (code, value) => {
    expect((await runJavaScript(code)).result).toEqual({ value, error: null, truncated: false, exit_code: 0 });
  });

  test("a top-level name hides a global from this code only", async () => {
    const code = "const URL = 'x'; new (require('node:url').URL)('http://a/').host + typeof globalThis.URL + URL";
    expect((await runJavaScript(code)).result.value).toBe("afunctionx");
    expect((await runJavaScript(`await 1; ${code}`)).result.value).toBe("afunctionx");
  });

  test.each(["'é'.repeat(1e6)", "Array.from({ length: 1e5 }, (_, i) => 'item ' + i)", "'\\u{1f600}'.repeat(5e4)"])(
    "%s is cut to 60 KiB and marked",
    async (code) => {
      const { result, resultBytes } = await runJavaScript(code);
      expect(result.truncated || code.startsWith("Array")).toBe(true);
      expect(resultBytes).toBeLessThanOrEqual(60 << 10);
      expect(resultBytes).toBeGreaterThan(8 << 10);
    },
  );

  test("an object whose inspection throws does not fail the run", async () => {
    const { result, exitCode } = await runJavaScript("({ [Symbol.for('nodejs.util.inspect.custom')]() { throw 1; } })");
    expect([result.error, exitCode]).toEqual([null, 0]);
  });
});

describe("the surroundings of a run", () => {
  test("CommonJS names, arguments, folder and environment are those of a main program", async () => {
    const code = "[__filename, __dirname, process.argv[1], process.cwd(), require.main === module, process.env]";
    const { result } = await runJavaScript(`JSON.stringify(${code})`, { cwd: folder, env: { A: "1" } });
    const file = join(folder, "main.js");
    expect(JSON.parse(result.value ?? "")).toEqual([file, folder, file, folder, true, { A: "1" }]);
  });

  test.each([
    ["require", "[require('local').name, require('shared').name].join()"],
    [
      "static import",
      "import l from 'local'; import s from 'shared'; import { name } from './helper.mjs'; export default [l.name, s.name].join()",
    ],
    [
      "import()",
      "Promise.all(['local', 'shared', './helper.mjs'].map((n) => import(n))).then(([l, s]) => [l.default.name, s.default.name].join())",
    ],
    [
      "import() after await",
      "await 1; [(await import('local')).default.name, (await import('shared')).default.name].join()",
    ],
  ])("%s finds packages beside the code and on NODE_PATH", async (_name, code) => {
    const env = { NODE_PATH: join(folder, "template", "node_modules") };
    const { result, stderr } = await runJavaScript(code, { cwd: folder, env });
    expect([result.value, stderr]).toEqual(["local,shared", ""]);
  });

  test("a program that the code starts has no descriptor of the runner's", async () => {
    const code = "require('child_process').execFileSync('/bin/sh', ['-c', 'ls /proc/$$/fd']).toString()";
    const numbers = (await runJavaScript(code)).result.value?.trim().split("\n") ?? [];
    expect(numbers.filter((fd) => Number(fd) < 20)).toEqual(["0", "1", "2"]);
  });

  test("nothing is taken from the environment of the run before the run", async () => {
    const { result } = await runJavaScript("process.execArgv.join()", {
      env: { NODE_OPTIONS: "--stack-trace-limit=1" },
    });
    expect(result.value).toBe("--disable-sigusr1");
  });

  test("a runner whose socket closes without a request ends quietly", async () => {
    const client = new JavaScriptClient(false);
    client.payload.end();
    expect(await client.end()).toMatchObject({ exitCode: 0, results: [], stdout: "", stderr: "" });
  });
});

describe("failures", () => {
  test("an uncaught error is text and structure without runner frames", async () => {
    const { result, stderr, exitCode } = await runJavaScript("function f() {\n  null.x;\n}\nf();");
    expect(result.error?.name).toBe("TypeError");
    expect(result.error?.traceback).toEqual([
      { file: "main.js", line: 4, function: "<main>", text: "f();" },
      { file: "main.js", line: 2, function: "f", text: "null.x;" },
    ]);
    expect(stderr).toMatch(
      /^main\.js:2\n {2}null\.x;\n {7}\^\n\nTypeError: .*\n {4}at f \(main\.js:2:8\)\n {4}at main\.js:4:1\n$/,
    );
    expect(exitCode).toBe(1);
  });

  test.each([
    ["let a = 1;\nlet b = ;", { line: 2, text: "let b = ;" }],
    ["import fs from 'node:fs';\nlet c = ;", { line: 2, text: "let c = ;" }],
    ["await 1;\nlet d = ;", { line: 2, text: "let d = ;" }],
  ])("a syntax error names its line: %j", async (code, place) => {
    const { result, exitCode, stderr } = await runJavaScript(code);
    expect(result.error?.name).toBe("SyntaxError");
    expect(result.error?.traceback).toMatchObject([{ file: "main.js", ...place }]);
    expect([exitCode, stderr.includes("runners")]).toEqual([1, false]);
  });

  test.each([
    ["a rejected value", "(async () => { throw new RangeError('r'); })()"],
    ["a rejection that nothing handles", "Promise.reject(new RangeError('r')); 1"],
    ["a rejection after await", "await 1; await Promise.reject(new RangeError('r'))"],
    ["a module that throws", "import 'node:fs';\nthrow new RangeError('r')"],
  ])("%s is the error of the run", async (_name, code) => {
    const { result, exitCode, stderr } = await runJavaScript(code);
    expect(result).toMatchObject({ value: null, error: { name: "RangeError", message: "r" }, exit_code: 1 });
    expect(result.error?.traceback[0]).toMatchObject({ file: "main.js" });
    expect(exitCode).toBe(1);
    expect(stderr).toContain("RangeError: r\n    at ");
    expect(stderr).not.toContain("runners");
  });

  test("an error in an imported file keeps its place", async () => {
    const { result } = await runJavaScript("import { fail } from './helper.mjs';\nfail();", { cwd: folder });
    expect(result.error?.traceback).toMatchObject([
      { file: "main.js", line: 2 },
      {
        file: `file://${join(folder, "helper.mjs")}`,
        line: 2,
        function: "fail",
        text: "export function fail() { throw new Error('deep'); }",
      },
    ]);
  });

  test("an error after the result changes the exit code only", async () => {
    const { result, exitCode, stderr } = await runJavaScript(
      "setTimeout(() => { throw new Error('late'); }, 20); 'done'",
    );
    expect([result.value, result.error, exitCode]).toEqual(["done", null, 1]);
    expect(stderr).toContain("Error: late");
  });

  test("the program's own handlers come first", async () => {
    const code = "process.on('uncaughtException', (e) => console.log('mine', e.message)); throw new Error('q')";
    const { result, exitCode, stdout, stderr } = await runJavaScript(code);
    expect([result.error, exitCode, stdout, stderr]).toEqual([null, 0, "mine q\n", ""]);
  });
});

describe("the end of a run", () => {
  test("process.exit and process.exitCode give the exit code, and a result is sent", async () => {
    const exited = await runJavaScript("process.on('exit', () => console.log('bye')); process.exit(5)");
    expect([exited.exitCode, exited.result, exited.stdout]).toEqual([
      5,
      { value: null, error: null, truncated: false, exit_code: 5 },
      "bye\n",
    ]);
    const coded = await runJavaScript("process.exitCode = 4; 'v'");
    expect([coded.exitCode, coded.result.value, coded.result.exit_code]).toEqual([4, "v", 4]);
  });

  test("the process lives until the event loop is empty, the result comes at once", async () => {
    const client = new JavaScriptClient(false);
    client.send("process.stdin.on('data', (d) => console.log(String(d))); 'listening'");
    expect((await client.nextResult()).value).toBe("listening");
    client.process.stdin?.write("later");
    expect(await client.end()).toMatchObject({ exitCode: 0, stdout: "later\n" });
  });

  test("what never settles ends the run when nothing else is left to do", async () => {
    const pending = await runJavaScript("new Promise(() => {})");
    expect([pending.exitCode, pending.result.value]).toEqual([0, "Promise { <pending> }"]);
    const awaiting = await runJavaScript("await new Promise(() => {})");
    expect([awaiting.exitCode, awaiting.result.value, awaiting.result.exit_code]).toEqual([13, null, 13]);
  });
});

describe("rich outputs", () => {
  test("display takes bundles, pictures, objects with a display method, and text", async () => {
    const code = `
      const png = Buffer.from("89504e470d0a1a0a00", "hex");
      display({ "text/html": "<b>é</b>", "application/json": { a: 1 } }, png, { [Symbol.for("paddock.display")]: () => ({ "image/png": png.toString("base64") }) }, [1]);
    `;
    const { rich } = await runJavaScript(code);
    const png = Buffer.from("89504e470d0a1a0a00", "hex");
    expect(rich).toEqual([
      { mime: "text/html", data: Buffer.from("<b>é</b>") },
      { mime: "application/json", data: Buffer.from('{"a":1}') },
      { mime: "image/png", data: png },
      { mime: "image/png", data: png },
      { mime: "text/plain", data: Buffer.from("[ 1 ]") },
    ]);
  });

  test("a value with a display method is text and rich", async () => {
    const { rich, result } = await runJavaScript(
      "({ a: 1, [Symbol.for('paddock.display')]: () => ({ 'text/html': 'h' }) })",
    );
    expect(rich).toEqual([{ mime: "text/html", data: Buffer.from("h") }]);
    expect(result.value).toContain("a: 1");
  });

  test("more than 16 MiB is left out and marked", async () => {
    const { rich, result } = await runJavaScript("const h = { 'text/html': 'x'.repeat(9 << 20) }; display(h, h); 1");
    expect([rich.map(({ data }) => data.length), result.truncated]).toEqual([[9 << 20], true]);
  });
});
