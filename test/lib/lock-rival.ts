// A process that takes a lock when it is told to by a file, and answers by another one (lock-file.test.ts). It ends
// with the process that forked it.

import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { LockFile } from "../../src/lib/lock-file.ts";
import { beforeFileCalls } from "../support/file-calls.ts";

const [inbox = "", death = ""] = process.argv.slice(2);
/** What takes a lock or looks at one. */
const LOCK_CALLS = ["writeFileSync", "linkSync", "readFileSync", "renameSync", "rmSync"] as const;
const held: LockFile[] = [];

process.on("disconnect", () => process.exit());

/** Dies right before this call of the file system, counted from one. */
function dieAt(call: number): void {
  let calls = 0;
  beforeFileCalls(LOCK_CALLS, () => {
    if (++calls === call) process.kill(process.pid, "SIGKILL");
  });
}

for (;;) {
  while (!existsSync(inbox)) await sleep(1);
  const path = readFileSync(inbox, "utf8");
  rmSync(inbox);
  if (death !== "") dieAt(Number(death));
  for (const lock of held.splice(0)) lock[Symbol.dispose]();
  const taken = path === "" ? undefined : LockFile.tryAcquire(path);
  if (taken instanceof LockFile) held.push(taken);
  writeFileSync(`${inbox}.draft`, taken instanceof LockFile ? "held" : "refused");
  renameSync(`${inbox}.draft`, `${inbox}.answer`);
}
