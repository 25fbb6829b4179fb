import { mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { makeOpenFolder } from "../../src/lib/open-folder.ts";

let scratch = "";
let umask = 0;

beforeEach(() => {
  umask = process.umask(0o077);
  scratch = mkdtempSync(join(tmpdir(), "paddock-open-folder-"));
});

afterEach(() => {
  process.umask(umask);
  rmSync(scratch, { recursive: true, force: true });
});

const modeOf = (path: string): string => (statSync(path).mode & 0o777).toString(8);

test("open folder - every folder that is made lets others pass, under a strict umask too", () => {
  const path = join(scratch, "a/b/c");
  makeOpenFolder(path);
  expect([path, join(scratch, "a/b"), join(scratch, "a"), scratch].map(modeOf)).toEqual(["711", "711", "711", "700"]);
});

test("open folder - a folder that exists keeps its mode", () => {
  const path = join(scratch, "closed");
  mkdirSync(path, { mode: 0o700 });
  makeOpenFolder(join(path, "inner"));
  makeOpenFolder(path);
  expect([modeOf(path), modeOf(join(path, "inner"))]).toEqual(["700", "711"]);
});
