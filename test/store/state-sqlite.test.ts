import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import {
  appendFileSync,
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import type { AgentRow } from "../../src/model/agent.ts";
import { openStateStore } from "../../src/store/state/open.ts";
import type { StateStore } from "../../src/store/state-store.ts";
import { canMount } from "../support/mount.ts";
import { lacks } from "../support/needs.ts";
import { claimNew, insertAgent, note, post, readWhole, type StateSubject, startStore } from "./state/samples.ts";
import { testStateStore } from "./state-conformance.ts";

const WRITE_PROGRAM = fileURLToPath(new URL("state/write-program.ts", import.meta.url));
const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "paddock-state-"));
  folders.push(folder);
  return folder;
}

const sqlite: StateSubject = { name: "sqlite", makeDatabase: async () => ({ folder: makeFolder() }) };

testStateStore(sqlite, async ({ folder }, statement) => {
  const file = new DatabaseSync(join(folder, "paddock.db"));
  file.exec(statement);
  file.close();
});

describe("state - the embedded database", () => {
  test("small rows count as much as they take, and the file gives back what pruning frees", async () => {
    const folder = makeFolder();
    await using store = await startStore({ folder });
    const agent = await insertAgent(store);
    for (let count = 0; count < 3000; count++) await store.insertMarker(agent.id, randomUUID(), [note("x")]);
    const file = new DatabaseSync(join(folder, "paddock.db"));
    const read = (query: string): number => Number(Object.values(file.prepare(query).get() ?? {})[0]);
    const sizeOf = (): number => read("pragma page_count") * read("pragma page_size");
    const [counted, taken] = [read("select sum(bytes) from responses"), sizeOf()];
    expect(taken / counted).toBeLessThan(1.1);
    expect(taken / counted).toBeGreaterThan(0.5);
    expect(await store.prune(10 ** 13, 0)).toBe(3000);
    expect(sizeOf()).toBeLessThan(taken / 4);
    file.close();
    expect(statSync(join(folder, "paddock.db")).size).toBeLessThan(taken / 4);
  });

  test("a principal's bytes are summed from indexes: rows may be megabytes", async () => {
    const folder = makeFolder();
    await using _store = await startStore({ folder });
    const file = new DatabaseSync(join(folder, "paddock.db"));
    const sum =
      "explain query plan select sum(bytes - amended_bytes) from responses where created_by = 'ann' and finished_at is";
    for (const [end, index] of [
      ["not null", "ended_responses_by_creator"],
      ["null", "open_bytes_by_creator"],
    ] as const)
      expect(file.prepare(`${sum} ${end}`).get()?.["detail"]).toContain(`COVERING INDEX ${index}`);
    file.close();
  });

  test("only its owner may read it, whatever the mask and the folder were", async () => {
    const folder = join(makeFolder(), "deep", "state");
    const mask = process.umask(0);
    try {
      await using store = await startStore({ folder });
      await insertAgent(store);
      const modes = readdirSync(folder).map((name) => statSync(join(folder, name)).mode & 0o777);
      expect([modes.length, new Set(modes)]).toEqual([3, new Set([0o600])]);
      expect(statSync(folder).mode & 0o777).toBe(0o700);
      chmodSync(folder, 0o755);
      chmodSync(join(folder, "paddock.db"), 0o644);
      await using _again = await startStore({ folder });
      expect(statSync(folder).mode & 0o777).toBe(0o700);
      expect(statSync(join(folder, "paddock.db")).mode & 0o777).toBe(0o600);
    } finally {
      process.umask(mask);
    }
  });

  test("a file that is no database is refused and kept", async () => {
    const folder = makeFolder();
    writeFileSync(join(folder, "paddock.db"), "something else ".repeat(1000));
    await using store = openStateStore({ folder });
    await expect(store.start()).rejects.toMatchObject({ code: "state_failed" });
    expect(statSync(join(folder, "paddock.db")).size).toBe(15_000);
  });

  test("a copy that SQLite makes while the service writes is whole (docs/state.md)", async () => {
    const folder = makeFolder();
    await using store = await startStore({ folder });
    const agent = await insertAgent(store);
    const writing = Promise.all(Array.from({ length: 20 }, async () => await post(store, agent)));
    const file = new DatabaseSync(join(folder, "paddock.db"));
    file.exec(`vacuum into '${join(makeFolder(), "paddock.db")}'`);
    file.close();
    await writing;
    await using copy = await startStore({ folder: folders.at(-1) ?? expect.unreachable() });
    expect((await copy.getAgent(agent.id))?.id).toBe(agent.id);
  });

  test.skipIf(lacks(canTrace(), "strace that may trace"))("a write is synced before it is acknowledged", () => {
    const [count, folder] = [25, makeFolder()];
    const log = join(folder, "trace");
    const tracing = ["-f", "-qq", "-e", "trace=fdatasync,fsync", "-o", log];
    execFileSync("strace", [...tracing, process.execPath, WRITE_PROGRAM, folder, String(count)]);
    const syncs = readFileSync(log, "utf8").match(/sync\(/g) ?? [];
    expect(syncs.length).toBeGreaterThanOrEqual(count);
  });
});

/** A container may lack the right to trace its own processes. */
function canTrace(): boolean {
  try {
    execFileSync("strace", ["-o", "/dev/null", "true"], { stdio: "pipe" });
    return true;
  } catch {
    return false;
  }
}

describe.skipIf(lacks(canMount(), "root that may mount"))("state - a full disk", () => {
  const fill = async (store: StateStore, agent: AgentRow): Promise<{ posted: number; failure: unknown }> => {
    for (let posted = 0; ; posted++) {
      try {
        await post(store, agent, { input: "x".repeat(30_000) });
      } catch (failure) {
        return { posted, failure };
      }
    }
  };

  test("writes answer no_space, nothing is lost or half written, and they work again when there is room", async () => {
    await withSmallDisk(async (folder) => {
      await using store = await startStore({ folder });
      const { agent, row, fence } = await claimNew(store);
      const ballast = join(folder, "ballast");
      for (let round = 0; round < 3; round++) {
        const before = await store.countResponses(agent.id);
        execFileSync("fallocate", ["-l", `${18 - 3 * round}m`, ballast]);
        const { posted, failure } = await fill(store, agent);
        expect(failure).toMatchObject({ code: "no_space", message: expect.not.stringMatching(/insert|xxx/) });
        expect(await store.countResponses(agent.id)).toBe(before + posted);
        const end = { status: "failed", segments: [note("y".repeat(9_000_000))] } as const;
        await expect(store.appendSegments(row.id, fence, round, end.segments)).rejects.toMatchObject({
          code: "no_space",
        });
        await expect(store.finishResponse(row.id, fence, end)).rejects.toMatchObject({ code: "no_space" });
        expect((await readWhole(store, row.id)).segments).toHaveLength(round);
        rmSync(ballast);
        await post(store, agent);
        await store.appendSegments(row.id, fence, round, [note(round)]);
      }
      expect(await store.finishResponse(row.id, fence, { status: "completed" })).toBe(true);
      const file = new DatabaseSync(join(folder, "paddock.db"));
      expect(file.prepare("pragma integrity_check").get()).toEqual({ integrity_check: "ok" });
      file.close();
    });
  });

  test("a store that finds the disk full does not start, and starts when there is room", async () => {
    await withSmallDisk(async (folder) => {
      const ballast = join(folder, "ballast");
      writeFileSync(ballast, "");
      try {
        for (;;) appendFileSync(ballast, Buffer.alloc(64 * 1024));
      } catch (thrown) {
        expect(thrown).toMatchObject({ code: "ENOSPC" });
      }
      await using store = openStateStore({ folder });
      await expect(store.start()).rejects.toMatchObject({ code: "no_space" });
      rmSync(ballast);
      await store.start();
      await insertAgent(store);
    });
  });
});

async function withSmallDisk(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = makeFolder();
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=24m,mode=700", "tmpfs", folder]);
  try {
    await work(folder);
  } finally {
    execFileSync("umount", [folder]);
  }
}
