import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { awaitEmpty, listNames } from "../conformance/driver/scan.ts";
import { lacks } from "../support/needs.ts";
import { hasPostgres, TestPostgres } from "../support/postgres.ts";
import { startService, type TestService } from "../support/service.ts";
import { countRounds } from "../support/soak.ts";
import { Scheduler } from "./schedules.ts";
import { schedule } from "./steps.ts";

/**
 * Two clients race on three agents; after each schedule every answer and the database are checked (check-history.ts).
 */
const COUNT = countRounds("PADDOCK_SCHEDULES", 20, 1000);
const SEED = Number(process.env["PADDOCK_SCHEDULES_SEED"] ?? Date.now() % 1_000_000);
const POSTGRES_COUNT = Math.ceil(COUNT / 10);
const SCHEDULE_MS = 30_000;
const GONE_MS = 10_000;

async function runSchedules(host: TestService, numRuns: number): Promise<void> {
  await using scheduler = new Scheduler(host);
  const property = fc.asyncProperty(schedule, async (parts) => await scheduler.run(parts));
  const begun = performance.now();
  console.log(`PADDOCK_SCHEDULES=${numRuns} PADDOCK_SCHEDULES_SEED=${SEED}`);
  // What clients race for is not the same twice: a smaller counterexample would be one by chance.
  await fc.assert(property, { numRuns, seed: SEED, endOnFailure: true });
  const answers = [...scheduler.statuses].toSorted(([one], [other]) => one - other);
  const seconds = ((performance.now() - begun) / 1000).toFixed(1);
  console.log(`schedules: ${numRuns} in ${seconds} s; ${answers.map(([status, n]) => `${n} x ${status}`).join(", ")}`);
}

/** Every agent was deleted, and nothing failed that nobody was told of. */
async function expectNothingLeft(host: TestService): Promise<void> {
  const { app, root, service } = host;
  expect(
    host
      .logged()
      .split("\n")
      // How long the event loop stood still says how busy the machine is.
      .filter((line) => line.includes('"server.problem"') && !line.includes('"where":"event_loop"')),
  ).toEqual([]);
  expect((await service.store.listAgents({ limit: 10, offset: 0 })).items).toEqual([]);
  expect(await app.fleet.volumes.list()).toEqual([]);
  const { run, owners } = app.config.home;
  const list = (): readonly string[] =>
    [run, owners].flatMap((room) => listNames(room)).filter((name) => name.startsWith("sbx_"));
  expect([root, await awaitEmpty(list, GONE_MS)]).toEqual([root, []]);
}

describe("service - random schedules", () => {
  test("two clients race, and every invariant holds", { timeout: 60_000 + COUNT * SCHEDULE_MS }, async () => {
    await using host = await startService();
    await runSchedules(host, COUNT);
    await expectNothingLeft(host);
  });

  test.skipIf(lacks(hasPostgres(), "PostgreSQL"))(
    "they race on Postgres as well",
    { timeout: 60_000 + POSTGRES_COUNT * SCHEDULE_MS },
    async () => {
      await using postgres = await TestPostgres.start();
      const databaseUrl = await postgres.createDatabase();
      await using host = await startService({ service: { databaseUrl } });
      await runSchedules(host, POSTGRES_COUNT);
      await expectNothingLeft(host);
    },
  );
});
