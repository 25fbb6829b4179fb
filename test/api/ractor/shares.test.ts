import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { compileService } from "../../../src/config/service.ts";
import { makeAgent } from "../../store/state/samples.ts";
import { startService, type TestService } from "../../support/service.ts";
import { Api, bash } from "./api.ts";

/** What one principal may take from the others. */

const MIB = 1024 * 1024;

let service: TestService;
let admin: Api;
let user: Api;

beforeAll(async () => {
  const { maxLimits } = compileService({ max_limits: { task_timeout_ms: 60_000 } }, {});
  service = await startService({ service: { maxLimits } });
  admin = new Api(service.url, service.adminToken);
  user = admin.as(await service.token("sue"));
});

afterAll(async () => await service[Symbol.asyncDispose]());

test("shares - a post asks for no more time than the operator gives, whatever the agent's limits say", async () => {
  await user.makeAgent("hasty");
  const post = async (timeout_seconds: number) =>
    await user.post("/agents/hasty/responses", { input: bash("true"), timeout_seconds });
  const refused = await post(61);
  expect([refused.status, refused.json.message]).toEqual([400, "timeout_seconds: at most 60 is given here"]);
  expect((await post(60)).status).toBe(200);
});

test("shares - a default above what the operator gives is cut to it", async () => {
  const { task_timeout_ms } = (await service.service.store.findAgent("hasty"))?.settings.limits ?? {};
  expect(task_timeout_ms).toBe(60_000);
});

test("shares - lists of agents stay within a few MiB, and pages have all of them", async () => {
  const { store } = service.service;
  const metadata = { text: "x".repeat(64 * 1024 - 100) };
  const description = "d".repeat(16 * 1024);
  for (let at = 0; at < 100; at++) {
    const facts = { createdBy: "sue", nodeId: "another", state: "slept", metadata, description } as const;
    await store.insertAgent(makeAgent({ ...facts, published: { at, by: "sue" } }));
  }
  const own = await user.get("/agents?limit=100");
  expect(own.json.items).toHaveLength(100);
  expect(own.text.length).toBeLessThan(4.5 * MIB);
  expect(own.json.items.at(-1).metadata).toBeNull();
  expect((await user.get("/agents")).json.items.at(-1).metadata).toEqual(metadata);
  const published = await fetch(`${user.url}/published/agents`);
  const text = await published.text();
  expect(text.length).toBeLessThan(MIB);
  const shown = JSON.parse(text) as { name: string; metadata: unknown; description: string | null }[];
  expect(shown).toHaveLength(100);
  expect(new Set(shown.map((agent) => agent.metadata))).toEqual(new Set([null]));
  expect([shown[0]?.description, shown[99]?.description]).toEqual([description, null]);
  const pages = await Promise.all(
    [0, 40, 80, 120].map((offset) => fetch(`${user.url}/published/agents?limit=40&offset=${offset}`)),
  );
  const paged = (await Promise.all(pages.map(async (page) => (await page.json()) as { name: string }[]))).flat();
  expect(paged.map(({ name }) => name)).toEqual(shown.map(({ name }) => name));
});

test("shares - the list of published agents costs strangers together one query, and whoever publishes is in it at once", async () => {
  const { store } = service.service;
  const list = vi.spyOn(store, "listAgents");
  const ask = async () => (await (await fetch(`${user.url}/published/agents?limit=10`)).json()) as { name: string }[];
  await Promise.all(Array.from({ length: 50 }, ask));
  expect(list.mock.calls.length).toBeLessThan(50 / 2);
  list.mockRestore();
  expect((await user.post("/agents/hasty/publish", {})).status).toBe(200);
  expect((await ask())[0]?.name).toBe("hasty");
  expect((await user.post("/agents/hasty/unpublish")).status).toBe(200);
  expect((await ask())[0]?.name).not.toBe("hasty");
});

test("shares - a token of a user never speaks for an operator's name", async () => {
  const issue = async (principal: string) => await admin.post("/auth/token", { principal, type: "User" });
  const refused = await issue("admin");
  expect([refused.status, refused.json.message]).toEqual([
    409,
    "admin is an operator: its tokens are of the type Admin",
  ]);
  const { json } = await issue("otto");
  const create = async () => await admin.post("/operators", { user: "otto", pass: "a password of otto" });
  const kept = await create();
  expect([kept.status, kept.json.message]).toEqual([409, "otto has living tokens of the type User"]);
  // Two administrators at once: the token is there before the operator, who was not asked for.
  const late = await service.service.store.insertOperator({
    ...{ name: "otto", passwordHash: null, description: null, active: true },
    ...{ createdAt: 1, updatedAt: 1, lastLoginAt: null },
  });
  expect([late, (await admin.as(json.token).get("/auth")).status]).toEqual([true, 401]);
});
