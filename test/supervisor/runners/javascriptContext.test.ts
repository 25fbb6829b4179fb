import { once } from "node:events";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, onTestFinished, test } from "vitest";
import { JavaScriptClient } from "./javascriptClient.ts";

const folder = realpathSync(mkdtempSync(join(tmpdir(), "paddock-runner-")));
afterAll(() => rmSync(folder, { recursive: true }));

function openContext(): JavaScriptClient {
  const client = new JavaScriptClient(true);
  onTestFinished(() => {
    client.process.kill("SIGKILL");
  });
  return client;
}

test("declarations of every kind persist and can be repeated", async () => {
  const context = openContext();
  expect(
    (await context.ask("const a = 1; let b = 2; var c = 3; function d() { return 4; } class E {}")).value,
  ).toBeNull();
  expect((await context.ask("[a, b, c, d(), typeof E]")).value).toBe("[ 1, 2, 3, 4, 'function' ]");
  expect((await context.ask("const a = await Promise.resolve(10); let b = 20; a + b")).value).toBe("30");
  expect((await context.ask("_ + a")).value).toBe("40");
  expect((await context.ask("{ a: 1 }")).value).toBe("{ a: 1 }");
});

test("static imports bring names that persist", async () => {
  writeFileSync(join(folder, "mine.mjs"), "export default 'main'; export const one = 1, two = 2;");
  const context = openContext();
  const options = { cwd: folder };
  const code = `import main, { one as uno, two } from "./mine.mjs";\nimport * as path from "node:path";\nimport {\n  readFileSync,\n} from "node:fs"\nuno`;
  expect((await context.ask(code, options)).value).toBe("1");
  expect(
    (await context.ask("[main, two, path.sep, typeof readFileSync, (await import('./mine.mjs')).one]", options)).value,
  ).toBe("[ 'main', 2, '/', 'function', 1 ]");
  const failed = await context.ask("import {\n  x\n} from './missing.mjs'\n", options);
  expect(failed.error?.message).toContain("missing.mjs");
  const later = await context.ask("import {\n  one\n} from './mine.mjs'\nnull.x", options);
  expect(later.error?.traceback.at(-1)).toMatchObject({ line: 4, text: "null.x" });
});

test("a failure, a syntax error and a late error leave the context alive", async () => {
  const context = openContext();
  await context.ask("let x = 5");
  const failed = await context.ask("function f() { throw new TypeError('t'); }\nf()");
  expect(failed).toMatchObject({ value: null, error: { name: "TypeError", message: "t" }, exit_code: 1 });
  expect(failed.error?.traceback.map(({ line, function: name }) => [line, name])).toEqual([
    [2, "<main>"],
    [1, "f"],
  ]);
  await expect
    .poll(() => context.outcome.stderr)
    .toMatch(/^TypeError: t\n {4}at f \(main\.js:1:22\)\n {4}at main\.js:2:1\n$/);
  expect((await context.ask("let y = 1;\nlet z = ;")).error?.traceback).toMatchObject([{ line: 2, text: "let z = ;" }]);
  const late = await context.ask(
    "setTimeout(() => { throw new Error('late'); }, 1); await new Promise((r) => setTimeout(r, 500))",
  );
  expect(late.error?.message).toBe("late");
  expect((await context.ask("x")).value).toBe("5");
});

test("timers of an earlier run go on between the runs", async () => {
  const context = openContext();
  await context.ask(
    "let count = 0; const timer = setInterval(() => { count += 1; if (count === 3) console.log('three'); }, 1)",
  );
  if (context.process.stdout === null) throw new Error("no stdout");
  await once(context.process.stdout, "data");
  expect(Number((await context.ask("clearInterval(timer); count")).value)).toBeGreaterThanOrEqual(3);
});

test.each([
  ["a loop", "console.log('started'); while (true) {}"],
  ["an await", "setTimeout(() => console.log('started'), 20); await new Promise(() => {})"],
])("an interrupt ends %s and keeps the state", async (_name, code) => {
  const context = openContext();
  await context.ask("let x = 5");
  if (context.process.stdout === null) throw new Error("no stdout");
  const started = once(context.process.stdout, "data");
  const answer = context.ask(code);
  await started;
  context.process.kill("SIGINT");
  expect((await answer).error).toEqual({ name: "Interrupt", message: "the run was interrupted", traceback: [] });
  context.process.kill("SIGINT");
  expect((await context.ask("x")).value).toBe("5");
});

test("an interrupt that comes after its run is over does not reach the next one", async () => {
  const context = openContext();
  await context.ask("1");
  context.process.kill("SIGSTOP");
  context.process.kill("SIGINT");
  const code = "export default await new Promise((resolve) => setTimeout(resolve, 100, 2))";
  const answer = context.ask(code, { isAfterInterrupt: true });
  context.process.kill("SIGCONT");
  expect((await answer).value).toBe("2");
});

test("environment and folder follow the request and keep what the code set", async () => {
  mkdirSync(join(folder, "sub"));
  const context = openContext();
  await context.ask("process.env.MINE = '1'; process.chdir('sub')", { cwd: folder, env: { A: "1", B: "1" } });
  const read = "[process.env.MINE, process.env.A, process.env.B, process.cwd()].join()";
  expect((await context.ask(read, { cwd: folder, env: { A: "2" } })).value).toBe(`1,2,,${join(folder, "sub")}`);
  expect((await context.ask("process.cwd()", { cwd: "/" })).value).toBe("/");
});

test("process.exit ends the context with its code and a result", async () => {
  const context = openContext();
  const ended = context.end();
  expect((await context.ask("process.exit(3)")).exit_code).toBe(3);
  expect((await ended).exitCode).toBe(3);
});

test("the end of the socket ends the context, whatever still runs in it", async () => {
  const context = openContext();
  await context.ask("setInterval(() => {}, 1000); 1");
  const ended = context.end();
  context.payload.end();
  expect((await ended).exitCode).toBe(0);
});
