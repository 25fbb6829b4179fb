import { execFile } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const folder = join(import.meta.dirname, "files");
const modules = readdirSync(folder)
  .filter((name) => name.startsWith("test_") && name.endsWith(".py"))
  .map((name) => name.slice(0, -".py".length));

test.each(modules)("file operations: %s passes", { timeout: 120_000 }, async (module) => {
  const { stdout, stderr } = await promisify(execFile)("/usr/bin/python3", ["-B", "-m", "unittest", module], {
    cwd: folder,
  });
  if (stdout !== "") console.log(stdout.trimEnd());
  expect(stderr).toMatch(/^Ran [1-9]\d* tests? in/m);
  expect(stderr.trimEnd()).toMatch(/\nOK( \(skipped=\d+\))?$/);
});
