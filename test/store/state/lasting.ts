import { describe, expect, test } from "vitest";
import { openStateStore, type StateOptions } from "../../../src/store/state/open.ts";
import { insertAgent, makeAgent, makeResponse, note, post, ROOMY, type StateSubject, startStore } from "./samples.ts";

const DAY_MS = 24 * 60 * 60 * 1000;
const EVERYTHING = Number.MAX_SAFE_INTEGER;

/** What needs a database of its own: opening, retention, versions. `runSql` is the test's own way into the database. */
export function testLasting(
  subject: StateSubject,
  runSql: (options: StateOptions, statement: string) => Promise<void>,
): void {
  describe("state - opening", () => {
    test("two that start at once on an empty database both work, and both see the same", async () => {
      const options = await subject.makeDatabase();
      const stores = await Promise.all([0, 1, 2, 3].map(async () => await startStore(options)));
      const agent = await insertAgent(stores[0] ?? expect.unreachable());
      for (const store of stores) {
        await store.check();
        expect(await store.findAgent(agent.name)).toEqual(agent);
        await store[Symbol.asyncDispose]();
      }
      await using again = await startStore(options);
      expect(await again.findAgent(agent.name)).toEqual(agent);
    });

    test("a database of a newer version is refused and left as it is", async () => {
      const options = await subject.makeDatabase();
      await (await startStore(options))[Symbol.asyncDispose]();
      await runSql(options, "insert into paddock_schema (version) values (99)");
      await using newer = openStateStore(options);
      await expect(newer.start()).rejects.toMatchObject({
        code: "state_failed",
        message: expect.stringContaining("version 99"),
      });
    });

    test("a database of before it had an id gets one, keeps what is in it, and no other has the same", async () => {
      const options = await subject.makeDatabase();
      const first = await startStore(options);
      const agent = await insertAgent(first);
      await first[Symbol.asyncDispose]();
      for (const column of ["workspace_bytes", "missing_copy_json"])
        await runSql(options, `alter table agents drop column ${column}`);
      for (const index of ["ended_responses_by_creator", "open_bytes_by_creator", "amended_responses"])
        await runSql(options, `drop index ${index}`);
      await runSql(options, "alter table responses drop column amended_bytes");
      await runSql(options, "drop table database_identity");
      await runSql(options, "delete from paddock_schema where version >= 2");
      await using second = await startStore(options);
      expect(await second.getAgent(agent.id)).toEqual(agent);
      const id = await second.readId();
      expect(id).toMatch(/^db_[0-9a-f-]{36}$/);
      await using third = await startStore(options);
      expect(await third.readId()).toBe(id);
      await using other = await startStore(await subject.makeDatabase());
      expect(await other.readId()).not.toBe(id);
    });

    test("closing waits for what was asked before and refuses what comes after", async () => {
      const options = await subject.makeDatabase();
      const store = await startStore(options);
      const agent = await insertAgent(store);
      const posts = Array.from({ length: 20 }, async () => await post(store, agent));
      await Promise.all([store[Symbol.asyncDispose](), store[Symbol.asyncDispose]()]);
      await expect(store.check()).rejects.toMatchObject({ code: "state_failed", message: "the state store is closed" });
      await using again = await startStore(options);
      expect(await again.countResponses(agent.id)).toBe((await Promise.all(posts)).length);
    });

    test("a broken database is state_failed, with its cause and without statement or values", async () => {
      const options = await subject.makeDatabase();
      await using store = await startStore(options);
      await runSql(options, "drop table segments");
      const agent = await insertAgent(store, { description: "s3cret" });
      const failure = await store.insertMarker(agent.id, "marker", [note("s3cret")]).catch((thrown: unknown) => thrown);
      expect(failure).toMatchObject({ code: "state_failed", cause: expect.any(Error) });
      expect((failure as Error).message).not.toMatch(/s3cret|segments|insert/i);
      expect(await store.findResponse("marker")).toBeUndefined();
    });
  });

  describe("state - retention", () => {
    test("ended responses go by age, then by size, oldest first; open ones stay", async () => {
      const clock = { now: 1_700_000_000_000 };
      await using store = await startStore({ ...(await subject.makeDatabase()), now: () => clock.now });
      const agent = await insertAgent(store);
      const ids: string[] = [];
      for (let day = 0; day < 5; day++) {
        clock.now += DAY_MS;
        const row = await post(store, agent);
        ids.push(row.id);
        const segments = [note("x".repeat(1000))];
        if (day !== 1) await store.endResponse(row.id, { status: "completed", segments });
      }
      const left = async (): Promise<readonly number[]> =>
        (await store.listResponses(agent.id, { order: "asc", limit: 9, offset: 0 })).map((each) =>
          ids.indexOf(each.row.id),
        );
      expect(await store.prune(10 * DAY_MS, EVERYTHING)).toBe(0);
      expect(await store.prune(3.5 * DAY_MS, EVERYTHING)).toBe(1);
      expect(await left()).toEqual([1, 2, 3, 4]);
      expect(await store.prune(EVERYTHING, 5500)).toBe(1);
      expect(await left()).toEqual([1, 3, 4]);
      expect(await store.listSegments(ids[2] ?? "", 0)).toEqual([]);
      expect(await store.prune(0, EVERYTHING)).toBe(1);
      expect(await store.prune(EVERYTHING, 0)).toBe(1);
      expect(await left()).toEqual([1]);
    });

    test("many go in one call", async () => {
      const clock = { now: 1_700_000_000_000 };
      await using store = await startStore({ ...(await subject.makeDatabase()), now: () => clock.now });
      const agent = await insertAgent(store);
      for (let count = 0; count < 450; count++) await store.insertMarker(agent.id, `marker-${count}`, [note(count)]);
      clock.now += 1;
      expect(await store.prune(0, EVERYTHING)).toBe(450);
    });

    test("keys are forgotten after a day, dead tokens after a week", async () => {
      const clock = { now: 1_700_000_000_000 };
      await using store = await startStore({ ...(await subject.makeDatabase()), now: () => clock.now });
      const token = {
        id: "t1",
        hash: "h1",
        principal: "ann",
        type: "User",
        scope: "read",
        agents: null,
        createdBy: "ann",
        createdAt: clock.now,
        expiresAt: clock.now,
        revokedAt: null,
      } as const;
      await store.insertToken(token);
      await store.insertToken({ ...token, id: "t2", hash: "h2", expiresAt: null, revokedAt: clock.now });
      await store.insertToken({ ...token, id: "t3", hash: "h3", expiresAt: null });
      const key = { principal: "ann", key: "k", hash: "h" };
      const agent = await insertAgent(store);
      const insert = async (): Promise<boolean> =>
        (await store.insertResponse(agent.id, makeResponse(), { ...ROOMY, key })).isNew;
      expect([await insert(), await insert()]).toEqual([true, false]);
      clock.now += DAY_MS - 1;
      await store.prune(EVERYTHING, EVERYTHING);
      expect(await insert()).toBe(false);
      clock.now += 1;
      expect([await insert(), await insert()]).toEqual([true, false]);
      clock.now += DAY_MS;
      await store.prune(EVERYTHING, EVERYTHING);
      expect((await store.insertAgent(makeAgent(), { key: { ...key, hash: "other" } })).isNew).toBe(true);
      expect(await store.findToken("h1")).toBeDefined();
      clock.now += 6 * DAY_MS;
      await store.prune(EVERYTHING, EVERYTHING);
      for (const hash of ["h1", "h2"]) expect(await store.findToken(hash)).toBeUndefined();
      expect(await store.findToken("h3")).toBeDefined();
    });
  });
}
