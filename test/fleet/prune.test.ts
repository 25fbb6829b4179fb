import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, watch, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { TemplateStore } from "../../src/fleet/environments/templates.ts";
import { identifyProcess } from "../../src/lib/process-identity.ts";
import { beforeFileCalls } from "../support/file-calls.ts";

const HASH = "a".repeat(64);
let folder = "";
let store: TemplateStore;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "paddock-prune-"));
  const unused = (): never => {
    throw new Error("pruning builds nothing");
  };
  const builder = { build: unused, hashTree: unused, readFile: unused };
  store = new TemplateStore(join(folder, "templates"), join(folder, "run"), builder, async () => []);
  for (const name of [`.build-${HASH}`, `.cache-${HASH}`])
    mkdirSync(join(folder, "templates", name), { recursive: true });
});
afterEach(() => rmSync(folder, { recursive: true }));

const lock = (holder: unknown): void =>
  writeFileSync(join(folder, "templates", `${HASH}.lock`), JSON.stringify(holder));
const left = (): string[] => readdirSync(join(folder, "templates"));

test("templates prune - what a killed build left goes, its lock too", async () => {
  lock({ ...identifyProcess(process.pid), startTicks: "1" });
  expect((await store.prune({ all: false })).inUse).toEqual([]);
  expect(left()).toEqual([]);
});

test("templates prune - a build that runs keeps its folders and its lock", async () => {
  lock(identifyProcess(process.pid));
  expect((await store.prune({ all: true })).removed).toEqual([]);
  expect(left()).toHaveLength(3);
});

/** A template with so many files that their removal takes many turns of the loop. */
function makeTemplate(hash: string, files = 1): string {
  const template = join(folder, "templates", hash);
  mkdirSync(join(template, "env"), { recursive: true });
  for (let index = 0; index < files; index++) writeFileSync(join(template, "env", `file-${index}`), "");
  writeFileSync(join(template, "manifest.json"), "{}");
  return template;
}

/** As a sandbox in the making does; true when it finds the template then. */
function use(hash: string): boolean {
  mkdirSync(join(folder, "run", "sbx_x"), { recursive: true });
  writeFileSync(join(folder, "run", "sbx_x", "template"), hash);
  return existsSync(join(folder, "templates", hash, "manifest.json"));
}

test("templates prune - a sandbox that begins while other templates are removed keeps its own", async () => {
  const [first, second] = [makeTemplate("0".repeat(64), 3000), makeTemplate("1".repeat(64))];
  const begun = Promise.withResolvers<boolean>();
  const gone = join(folder, "templates");
  // The removal of the first has begun: it has another name now, or fewer files.
  const watchers = [gone, join(first, "env")].map((path) =>
    watch(path, (_, name) => {
      if (/^(\.gone-)?0{64}$|^file-/.test(name ?? "")) begun.resolve(existsSync(second) && use("1".repeat(64)));
    }),
  );
  const pruning = store.prune({ all: true });
  expect(await begun.promise).toBe(true);
  for (const watcher of watchers) watcher.close();
  const { removed, inUse } = await pruning;
  expect([removed.includes("0".repeat(64)), inUse]).toEqual([true, ["1".repeat(64)]]);
  expect([existsSync(first), readdirSync(second).toSorted()]).toEqual([false, ["env", "manifest.json"]]);
});

test("templates prune - whenever a sandbox begins, its template stays or it finds that it has none", async () => {
  const hash = "2".repeat(64);
  for (let moment = 1, hasBegun = true; hasBegun; moment++) {
    const template = makeTemplate(hash);
    let calls = 0;
    let isThere = false;
    const hook = beforeFileCalls(["readFileSync", "renameSync"], () => {
      if (++calls === moment) isThere = use(hash);
    });
    await store.prune({ all: true });
    hook[Symbol.dispose]();
    hasBegun = calls >= moment;
    const files = existsSync(template) ? readdirSync(template).toSorted() : [];
    expect([moment, files]).toEqual([moment, isThere ? ["env", "manifest.json"] : []]);
    expect(moment).toBeLessThan(30);
    rmSync(join(folder, "run"), { recursive: true, force: true });
  }
});

test("templates prune - what a prune left that was killed goes", async () => {
  const hash = "3".repeat(64);
  const template = makeTemplate(hash);
  cpSync(template, join(folder, "templates", `.gone-${hash}`), { recursive: true });
  expect((await store.prune({ all: true })).removed.toSorted()).toEqual(
    [`.build-${HASH}`, `.cache-${HASH}`, `.gone-${hash}`, hash].toSorted(),
  );
  expect(left()).toEqual([]);
});
