import { execFile } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { testEnv } from "../support/home.ts";

const PADDOCK = fileURLToPath(new URL("../../bin/paddock.mjs", import.meta.url));

let scratch = "";
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), "paddock-compiled-"));
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Prints the version, with caches below `home`. */
async function printVersion(home: string): Promise<string> {
  const env: NodeJS.ProcessEnv = { ...testEnv(), XDG_CACHE_HOME: home };
  delete env["NODE_COMPILE_CACHE"];
  return (await promisify(execFile)(process.execPath, [PADDOCK, "--version"], { env })).stdout;
}

test("compile cache - a command leaves compiled code in a folder that only its user can write", async () => {
  const folder = join(scratch, "fresh", "paddock", "compiled");
  expect(await printVersion(join(scratch, "fresh"))).toMatch(/^\d+\.\d+\.\d+/);
  expect(readdirSync(folder)).toHaveLength(1);
  expect(statSync(folder).mode & 0o777).toBe(0o700);
});

test("compile cache - no code is loaded from a folder that others can write", async () => {
  const folder = join(scratch, "open", "paddock", "compiled");
  mkdirSync(folder, { recursive: true });
  chmodSync(folder, 0o777);
  expect(await printVersion(join(scratch, "open"))).toMatch(/^\d+\.\d+\.\d+/);
  expect(readdirSync(folder)).toEqual([]);
});

test("compile cache - a cache folder that cannot be made stops no command", async () => {
  const file = join(fileURLToPath(new URL("../../package.json", import.meta.url)), "below");
  expect(await printVersion(file)).toMatch(/^\d+\.\d+\.\d+/);
  expect(existsSync(file)).toBe(false);
});
