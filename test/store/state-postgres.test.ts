import { afterAll, beforeAll, describe } from "vitest";
import { lacks } from "../support/needs.ts";
import { hasPostgres, TestPostgres } from "../support/postgres.ts";
import type { StateSubject } from "./state/samples.ts";
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
});
