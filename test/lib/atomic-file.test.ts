import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { createFile, replaceFile } from "../../src/lib/atomic-file.ts";
import { ifThere } from "../../src/lib/if-there.ts";

function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "paddock-atomic-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

test.each([{ isDurable: false }, { isDurable: true }])(
  "atomic file - a replaced file has the new content, is its owner's alone, and leaves no draft (%o)",
  (options) => {
    const folder = makeFolder();
    replaceFile(join(folder, "a"), "one", options);
    replaceFile(join(folder, "a"), "two", options);
    expect(readFileSync(join(folder, "a"), "utf8")).toBe("two");
    expect(statSync(join(folder, "a")).mode & 0o777).toBe(0o600);
    expect(readdirSync(folder)).toEqual(["a"]);
  },
);

test.each([{ isDurable: false }, { isDurable: true }])(
  "atomic file - a file is created once, the second creation changes nothing and leaves no draft (%o)",
  (options) => {
    const folder = makeFolder();
    expect(createFile(join(folder, "a"), "one", options)).toBe(true);
    expect(createFile(join(folder, "a"), "two", options)).toBe(false);
    expect(readFileSync(join(folder, "a"), "utf8")).toBe("one");
    expect(readdirSync(folder)).toEqual(["a"]);
  },
);

test("atomic file - a missing file is undefined, another failure is thrown", () => {
  const folder = makeFolder();
  mkdirSync(join(folder, "b"));
  expect(ifThere(() => readFileSync(join(folder, "a"), "utf8"))).toBeUndefined();
  expect(() => ifThere(() => readFileSync(join(folder, "b"), "utf8"))).toThrow("EISDIR");
});
