import { type ChildProcess, fork } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";
import { LockFile } from "../../src/lib/lock-file.ts";
import { identifyProcess } from "../../src/lib/process-identity.ts";
import { beforeFileCalls } from "../support/file-calls.ts";

let folder = "";
const never = new AbortController().signal;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "paddock-lock-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Of a process that no longer is. */
const leaveStale = (path: string): void =>
  writeFileSync(path, JSON.stringify({ ...identifyProcess(process.pid), startTicks: "1" }));

test("lock file - a second taker is told once, waits, and gets it when the first lets go", async () => {
  const path = join(folder, "lock");
  const first = await LockFile.acquire(path, never, () => undefined);
  const told = Promise.withResolvers<number>();
  const second = LockFile.acquire(path, never, ({ pid }) => told.resolve(pid));
  expect(await told.promise).toBe(process.pid);
  first[Symbol.dispose]();
  (await second)[Symbol.dispose]();
  expect(readdirSync(folder)).toEqual([]);
});

test("lock file - the lock of a dead holder is taken over", async () => {
  const path = join(folder, "lock");
  leaveStale(path);
  using lock = await LockFile.acquire(path, never, () => expect.unreachable("nobody holds it"));
  expect(lock).toBeDefined();
});

test("lock file - waiting ends when the caller leaves", async () => {
  const path = join(folder, "lock");
  using _first = await LockFile.acquire(path, never, () => undefined);
  const caller = new AbortController();
  await expect(LockFile.acquire(path, caller.signal, () => caller.abort(new Error("left")))).rejects.toThrow();
});

const PROGRAM = fileURLToPath(new URL("./lock-rival.ts", import.meta.url));
const LOCK_CALLS = ["writeFileSync", "linkSync", "readFileSync", "renameSync", "rmSync"] as const;
/** More than there are calls of the file system in taking a stale lock over. */
const MOMENTS = 25;
const pause = new Int32Array(new SharedArrayBuffer(4));

/** A process that takes locks when it is told to, while this one stands still. */
class Rival implements Disposable {
  readonly #child: ChildProcess;
  readonly #inbox: string;

  /** `death`: the call of the file system before which it kills itself. */
  constructor(name: string, death = "") {
    this.#inbox = join(folder, `rival-${name}`);
    this.#child = fork(PROGRAM, [this.#inbox, death]);
  }

  /** Lets go what it holds first; an empty path is no lock. Dead: it died on the way. */
  take(path: string): "held" | "refused" | "dead" {
    writeFileSync(`${this.#inbox}.told`, path);
    renameSync(`${this.#inbox}.told`, this.#inbox);
    const answer = `${this.#inbox}.answer`;
    while (!existsSync(answer)) {
      if (identifyProcess(this.#child.pid ?? 0) === undefined) return "dead";
      Atomics.wait(pause, 0, 0, 1);
    }
    const text = readFileSync(answer, "utf8");
    rmSync(answer);
    return text === "held" ? "held" : "refused";
  }

  [Symbol.dispose](): void {
    this.#child.kill("SIGKILL");
  }
}

const listLocks = (): string[] => readdirSync(folder).filter((name) => name.startsWith("lock"));

test.each([
  ["stays", false],
  ["goes again when the second comes", true],
])(
  "lock file - whenever two others come while a stale lock is taken over, one of the three has it; the first %s",
  (_, goes) => {
    using first = new Rival("first");
    using second = new Rival("second");
    let most = 0;
    for (let one = 1; one <= MOMENTS; one++) {
      for (let other = one; other <= MOMENTS; other++) {
        const path = join(folder, "lock");
        leaveStale(path);
        let calls = 0;
        let got: string[] = [];
        const hook = beforeFileCalls(LOCK_CALLS, (_, file) => {
          if (!file.startsWith(path)) return;
          calls++;
          if (calls === one) got.push(first.take(path));
          if (calls === other && goes) got = [first.take("")];
          if (calls === other) got.push(second.take(path));
        });
        const mine = LockFile.tryAcquire(path);
        hook[Symbol.dispose]();
        most = Math.max(most, calls);
        if (mine instanceof LockFile) got.push("held");
        expect([one, other, got.filter((each) => each === "held")]).toEqual([one, other, ["held"]]);
        if (mine instanceof LockFile) mine[Symbol.dispose]();
        for (const rival of [first, second]) rival.take("");
        expect([one, other, listLocks()]).toEqual([one, other, []]);
      }
    }
    expect(most).toBeLessThan(MOMENTS);
  },
);

test("lock file - who dies on the way to a stale lock is taken over from, too", () => {
  for (let call = 1, answer = "dead"; answer === "dead"; call++) {
    const path = join(folder, `lock-${call}`);
    leaveStale(path);
    using rival = new Rival(`${call}`, `${call}`);
    answer = rival.take(path);
    if (answer === "dead") {
      const mine = LockFile.tryAcquire(path);
      expect([call, mine]).toEqual([call, expect.any(LockFile)]);
      if (mine instanceof LockFile) mine[Symbol.dispose]();
      expect([call, existsSync(path)]).toEqual([call, false]);
    }
    expect(call).toBeLessThan(40);
  }
});
