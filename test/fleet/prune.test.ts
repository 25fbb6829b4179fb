import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { TemplateStore } from "../../src/fleet/templates.ts";
import { identifyProcess } from "../../src/lib/process-identity.ts";

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
