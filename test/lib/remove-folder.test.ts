import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { removeFolder } from "../../src/lib/remove-folder.ts";

const ROUNDS = 100;
const FOLDERS = 50;
/** Removes whatever comes into a folder, as the launcher of a dead owner does with its run folder. */
const REMOVER = `
import os, sys
print("on", flush=True)
while True:
    for folder, folders, files in os.walk(sys.argv[1], topdown=False):
        for remove, names in ((os.unlink, files), (os.rmdir, folders)):
            for name in names:
                try:
                    remove(os.path.join(folder, name))
                except OSError:
                    pass`;

let root = "";

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "paddock-remove-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function fill(folder: string): string {
  for (let count = 0; count < FOLDERS; count++) {
    mkdirSync(join(folder, `folder-${count}`), { recursive: true });
    writeFileSync(join(folder, `folder-${count}`, "file"), "");
  }
  return folder;
}

test(`remove folder - it is gone on return, whoever else removes it meanwhile (${ROUNDS} rounds)`, async () => {
  const shared = join(root, "shared");
  mkdirSync(shared);
  const other = spawn("/usr/bin/python3", ["-c", REMOVER, shared], { stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(other, "exit");
  await once(other.stdout, "data");
  let left = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const path = join(shared, `round-${round}`);
    renameSync(fill(join(root, "next")), path);
    await removeFolder(path);
    if (existsSync(path)) left += 1;
  }
  other.kill("SIGKILL");
  await exited;
  expect(left).toBe(0);
});

test("remove folder - a link is removed and not followed, and what does not exist is gone", async () => {
  const kept = fill(join(root, "kept"));
  const link = join(root, "link");
  symlinkSync(kept, link);
  await removeFolder(link);
  await removeFolder(link);
  expect([existsSync(link), existsSync(join(kept, "folder-0", "file"))]).toEqual([false, true]);
});
