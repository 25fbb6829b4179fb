import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { lacks } from "../support/needs.ts";
import { hasPostgres, TestPostgres } from "../support/postgres.ts";
import { makeServiceRoot, startService, type TestService } from "../support/service.ts";

const roots: string[] = [];

function makeRoot(): string {
  const root = makeServiceRoot();
  roots.push(root);
  return root;
}

afterEach(() => {
  for (const root of roots.splice(0)) rmSync(root, { recursive: true, force: true });
});

const stateOf = ({ app }: TestService): string => app.config.home.state;
const belongsTo = ({ app }: TestService): string => join(app.config.home.state, "database.json");

async function ask(service: TestService, method: string, path: string, body?: unknown): Promise<unknown> {
  const response = await fetch(`${service.url}/api/v0${path}`, {
    method,
    headers: { authorization: `Bearer ${service.adminToken}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  expect(response.status).toBe(200);
  return await response.json();
}

/** What the code printed. */
async function run(service: TestService, code: string): Promise<string> {
  const input = { content: [{ type: "bash", content: code }] };
  return JSON.stringify(await ask(service, "POST", "/agents/keeper/responses", { input, background: false }));
}

/** An agent with a file in its workspace. */
async function makeKeeper(service: TestService): Promise<void> {
  await ask(service, "POST", "/agents", { name: "keeper", metadata: { bare: true } });
  expect(await run(service, "echo precious > /agent/file")).toContain('"completed"');
}

async function stillHasIt(service: TestService): Promise<void> {
  expect(await run(service, "cat /agent/file")).toContain("precious");
}

/** A start that has to be refused. */
async function refuse(options: Parameters<typeof startService>[0]): Promise<{ message: string; hint: string }> {
  const started = await startService(options).catch((error: unknown) => error);
  if (started instanceof Error) {
    expect(started).toMatchObject({ code: "invalid_config" });
    return started as Error & { hint: string };
  }
  await (started as TestService)[Symbol.asyncDispose]();
  throw new Error("it started");
}

test("service - a data folder keeps the id of its database, for its owner's eyes", async () => {
  const root = makeRoot();
  const first = await startService({ root });
  const id = await first.service.store.readId();
  expect(JSON.parse(readFileSync(belongsTo(first), "utf8"))).toEqual({
    kind: "sqlite",
    database_id: id,
    node_id: first.service.nodeId,
  });
  expect(statSync(belongsTo(first)).mode & 0o777).toBe(0o600);
  await first[Symbol.asyncDispose]();
  writeFileSync(belongsTo(first), "{}");
  expect((await refuse({ root })).message).toContain("database.json");
});

test("service - a new embedded database is refused and nothing deleted, until it is accepted by its id", async () => {
  const root = makeRoot();
  const first = await startService({ root });
  await makeKeeper(first);
  const id = await first.service.store.readId();
  await first[Symbol.asyncDispose]();
  const files = ["paddock.db", "paddock.db-wal", "paddock.db-shm"].map((name) => join(stateOf(first), name));
  const kept = files.filter((file) => existsSync(file)).map((file) => ({ file, bytes: readFileSync(file) }));
  for (const file of files) rmSync(file, { force: true });
  const { message, hint } = await refuse({ root });
  expect(message).toContain(id);
  const other = /--accept-database (db_[0-9a-f-]+)/.exec(hint)?.[1] ?? "";
  expect([message.includes(other), other]).toEqual([true, expect.not.stringMatching(id)]);
  rmSync(belongsTo(first));
  expect((await refuse({ root, acceptDatabase: id })).message).toContain(`--accept-database names ${id}`);
  expect((await refuse({ root })).message).toContain("1 agent workspace");
  for (const file of files) rmSync(file, { force: true });
  for (const { file, bytes } of kept) writeFileSync(file, bytes);
  const second = await startService({ root });
  await stillHasIt(second);
  const [volume] = await second.app.fleet.volumes.list();
  await second[Symbol.asyncDispose]();

  for (const file of files) rmSync(file, { force: true });
  const accepted = /--accept-database (db_[0-9a-f-]+)/.exec((await refuse({ root })).hint)?.[1] ?? "";
  await using third = await startService({ root, acceptDatabase: accepted });
  expect(await third.app.fleet.volumes.list()).toEqual([]);
  await expect.poll(() => third.logged()).toContain('"phase":"ready"');
  expect(third.logged()).toMatch(new RegExp(`"phase":"workspace_removed","detail":"${volume}"`));
  expect(readFileSync(belongsTo(third), "utf8")).toContain(accepted);
});

test("service - another id of the data folder itself is refused, too", async () => {
  const root = makeRoot();
  const first = await startService({ root });
  await makeKeeper(first);
  await first[Symbol.asyncDispose]();
  const file = join(stateOf(first), "node-id");
  rmSync(file);
  const { message, hint } = await refuse({ root });
  expect(message + hint).toContain(first.service.nodeId);
  writeFileSync(file, `${first.service.nodeId}\n`);
  await using second = await startService({ root });
  await stillHasIt(second);
});

describe.skipIf(lacks(hasPostgres(), "the Debian package postgresql"))("service - Postgres", () => {
  let server: TestPostgres | undefined;
  beforeAll(async () => {
    server = await TestPostgres.start();
  });
  afterAll(async () => await server?.[Symbol.asyncDispose]());

  test("one start without DATABASE_URL is refused and leaves the agents' files", async () => {
    const root = makeRoot();
    const databaseUrl = (await server?.createDatabase()) ?? "";
    const first = await startService({ root, service: { databaseUrl } });
    await makeKeeper(first);
    const id = await first.service.store.readId();
    await first[Symbol.asyncDispose]();
    const { message, hint } = await refuse({ root });
    expect(message).toContain(`the Postgres database ${id}`);
    expect(message).toContain("the embedded database db_");
    expect(hint).toContain("DATABASE_URL");
    rmSync(belongsTo(first));
    expect((await refuse({ root })).message).toContain("1 agent workspace");
    await using second = await startService({ root, service: { databaseUrl } });
    await stillHasIt(second);
  });
});
