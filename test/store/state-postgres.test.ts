import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import type { Socket } from "node:net";
import { join } from "node:path";
import { inspect } from "node:util";
import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeContext } from "../../src/store/state/engine/context.ts";
import { makePostgresDialect } from "../../src/store/state/engine/postgres.ts";
import { openStateStore } from "../../src/store/state/open.ts";
import { canMount } from "../support/mount.ts";
import { lacks } from "../support/needs.ts";
import { giveToPostgres, hasPostgres, TestPostgres } from "../support/postgres.ts";
import { insertAgent, note, post, readWhole, type StateSubject, startStore } from "./state/samples.ts";
import { testStateStore } from "./state-conformance.ts";

describe.skipIf(lacks(hasPostgres(), "the Debian package postgresql"))("on Postgres", () => {
  let server: TestPostgres | undefined;
  beforeAll(async () => {
    server = await TestPostgres.start();
  });
  afterAll(async () => await server?.[Symbol.asyncDispose]());
  const getServer = (): TestPostgres => {
    if (server === undefined) throw new Error("the server did not start");
    return server;
  };

  const postgres: StateSubject = {
    name: "postgres",
    makeDatabase: async () => ({ folder: "/nowhere", databaseUrl: await getServer().createDatabase() }),
  };
  testStateStore(postgres, async ({ databaseUrl = "" }, statement) => {
    await getServer().run(databaseUrl, statement);
  });

  describe("state - a Postgres that fails", () => {
    test.each([
      [
        "a server that is not there",
        "postgres://ann:pa55word@127.0.0.1:1/x",
        /at 127\.0\.0\.1:1, database x: ECONNREFUSED/,
      ],
      ["a name with no address", "postgres://ann:pa55word@nowhere.invalid/x", /at nowhere\.invalid:5432, database x: /],
      ["no database's name", "postgres://ann:pa55word@127.0.0.1:1", /at 127\.0\.0\.1:1, its default database: /],
      ["a URL that cannot be read", "postgres://ann:pa55word@[::1/x", /./],
    ])("%s is state_failed and says no password", async (_, databaseUrl, message) => {
      await using store = openStateStore({ folder: "/nowhere", databaseUrl });
      const failure = await store.start().catch((thrown: unknown) => thrown);
      expect(failure).toMatchObject({ code: "state_failed", message: expect.stringMatching(message) });
      expect(failure).toMatchObject({ hint: expect.stringContaining("Is Postgres running there") });
      expect((failure as Error).message).not.toMatch(/\bann\b/);
      expect(inspect(failure, { depth: 9, showHidden: true })).not.toContain("pa55word");
    });

    test("a database that is not there is named", async () => {
      await using store = openStateStore({ folder: "/nowhere", databaseUrl: getServer().makeUrl("missing") });
      await expect(store.start()).rejects.toMatchObject({
        code: "state_failed",
        message: expect.stringContaining('"missing" does not exist'),
      });
    });

    test("connections that break are replaced, and what was acknowledged is there", async () => {
      await using own = await TestPostgres.start();
      const databaseUrl = await own.createDatabase();
      await using store = await startStore({ folder: "/nowhere", databaseUrl });
      const agent = await insertAgent(store);
      await own.run(
        own.makeUrl("postgres"),
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'paddock'",
      );
      await awaitAnswer(async () => await store.check());
      expect(await store.getAgent(agent.id)).toEqual(agent);
      await own.restart();
      await awaitAnswer(async () => await store.check());
      expect(await store.getAgent(agent.id)).toEqual(agent);
      await own[Symbol.asyncDispose]();
      await expect(store.check()).rejects.toMatchObject({ code: "state_failed" });
      await expect(insertAgent(store)).rejects.toMatchObject({ code: "state_failed" });
    });

    test("a connection that breaks between two statements of a transaction fails the second one, and nothing else", async () => {
      const url = await getServer().createDatabase();
      const sockets: Socket[] = [];
      const noteSocket = (message: unknown): void => void sockets.push((message as { socket: Socket }).socket);
      subscribe("net.client.socket", noteSocket);
      const state = makeContext(makePostgresDialect(url), Date.now);
      const transaction = state.transact(async (db) => {
        const found = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(db);
        unsubscribe("net.client.socket", noteSocket);
        const closed = once(sockets[0] ?? expect.unreachable(), "close");
        await getServer().run(url, `select pg_terminate_backend(${found.rows[0]?.pid})`);
        await closed;
        await sql`select 1`.execute(db);
      });
      await expect(transaction).rejects.toMatchObject({ code: "state_failed" });
      const next = await state.ask(async (db) => await sql<{ one: number }>`select 1 as one`.execute(db));
      expect(next.rows).toEqual([{ one: 1 }]);
      await state.close();
    });

    test.skipIf(lacks(canMount(), "root that may mount"))("a full disk is no_space, and passes", async () => {
      const disk = join(getServer().folder, "small");
      mkdirSync(disk);
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=16m", "tmpfs", disk]);
      try {
        giveToPostgres(disk);
        await getServer().run(getServer().makeUrl("postgres"), `create tablespace small location '${disk}'`);
        const databaseUrl = await getServer().createDatabase("tablespace small");
        await using store = await startStore({ folder: "/nowhere", databaseUrl });
        const agent = await insertAgent(store);
        const { id } = await post(store, agent);
        const huge = [note(makeNoise(20_000_000))];
        const large = [note(makeNoise(15_000_000))];
        await expect(store.amendResponse(id, { segments: large })).rejects.toMatchObject({ code: "no_space" });
        await expect(store.endResponse(id, { status: "failed", segments: huge })).rejects.toMatchObject({
          code: "no_space",
        });
        expect(await readWhole(store, id)).toMatchObject({ row: { status: "pending", version: 1 }, segments: [] });
        execFileSync("mount", ["-o", "remount,size=128m", disk]);
        expect(await store.endResponse(id, { status: "failed", segments: huge })).toBeDefined();
        await store[Symbol.asyncDispose]();
        await getServer().run(
          getServer().makeUrl("postgres"),
          `drop database ${new URL(databaseUrl).pathname.slice(1)} with (force)`,
        );
        await getServer().run(getServer().makeUrl("postgres"), "drop tablespace small");
      } finally {
        execFileSync("umount", [disk]);
      }
    });
  });
});

/** A pool notices some broken connections only when it uses them, once each. */
async function awaitAnswer(ask: () => Promise<void>): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      return await ask();
    } catch (thrown) {
      expect(thrown).toMatchObject({ code: "state_failed" });
      if (tries > 20) throw thrown;
    }
  }
}

/** Text that no compression makes smaller. */
const makeNoise = (bytes: number): string => randomBytes(bytes / 2).toString("hex");
