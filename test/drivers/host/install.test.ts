import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { installProgram, sweepOldCopies } from "../../../src/drivers/host/install.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "paddock-install-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const age = (path: string, days: number): void => {
  const then = new Date(Date.now() - days * 86_400_000);
  utimesSync(path, then, then);
};

test("install - a copy that no start chose for a month goes, a folder of users at once; a younger copy and everything else stays", async () => {
  for (const [name, days] of [
    ["node-1", 31],
    ["supervisor-a", 29],
    ["launcher-b.123.draft", 40],
    ["users-200000-c", 0],
    ["notes", 99],
  ] as const) {
    mkdirSync(join(folder, name));
    age(join(folder, name), days);
  }
  await sweepOldCopies(folder);
  expect(readdirSync(folder).sort()).toEqual(["notes", "supervisor-a"]);
});

test("install - choosing a copy again makes it young", async () => {
  const source = join(folder, "source");
  mkdirSync(source);
  writeFileSync(join(source, "main.py"), "print(1)\n");
  const bin = join(folder, "bin");
  mkdirSync(bin);
  const copy = await installProgram(bin, "launcher", source, "/usr/bin/python3");
  age(copy, 40);
  expect(await installProgram(bin, "launcher", source, "/usr/bin/python3")).toBe(copy);
  expect(Date.now() - statSync(copy).mtimeMs).toBeLessThan(60_000);
});
