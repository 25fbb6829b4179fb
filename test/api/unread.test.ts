import { afterAll, beforeAll, expect, test } from "vitest";
import { MAX_UNSENT_BYTES } from "../../src/api/http/clients/unsent-bytes.ts";
import { RawConnection } from "../support/raw-http.ts";
import { startService, type TestService } from "../support/service.ts";
import { Api, bash } from "./ractor/api.ts";

const MIB = 1024 * 1024;
const ANSWER_BYTES = 12 * MIB;

let service: TestService;
let lazy: Api;
let other: Api;
let path: string;

beforeAll(async () => {
  service = await startService();
  lazy = new Api(service.url, await service.token("lazy"));
  other = new Api(service.url, await service.token("other"));
  for (const api of [lazy, other]) await api.makeAgent(`of-${api === lazy ? "lazy" : "other"}`);
  const { json } = await lazy.post("/agents/of-lazy/responses", { input: bash("sleep 1000") });
  path = `/agents/of-lazy/responses/${json.id}`;
  // With a second row a list is sent in parts.
  await lazy.post("/agents/of-lazy/responses", { input: bash("true") });
  // Each amendment adds; none is larger than a body may be.
  const text = "x".repeat(1.5 * MIB);
  for (let bytes = 0; bytes < ANSWER_BYTES; bytes += text.length)
    expect((await lazy.put(path, { output: { items: [{ type: "commentary", text }] } })).status).toBe(200);
});

afterAll(async () => await service[Symbol.asyncDispose]());

/** Asks and never reads what comes. */
async function leaveUnread(api: Api, paths: readonly string[]): Promise<RawConnection[]> {
  const open = await Promise.all(paths.map(async () => await RawConnection.open(service.url)));
  for (const [index, connection] of open.entries()) {
    connection.socket.pause();
    connection.send(
      `GET /api/v0${paths[index]} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${api.token}\r\n\r\n`,
    );
  }
  return open;
}

test.each([
  ["answers", () => path],
  ["lists", () => "/agents/of-lazy/responses"],
])(
  "unread answers - %s that a principal does not read are bounded in bytes; others and small answers are not touched",
  async (_name, ask) => {
    expect((await lazy.get(path)).text.length).toBeGreaterThan(ANSWER_BYTES);
    const open = await leaveUnread(lazy, Array.from({ length: 2 * Math.ceil(MAX_UNSENT_BYTES / ANSWER_BYTES) }, ask));
    await expect.poll(async () => (await lazy.get(path)).status, { timeout: 20_000 }).toBe(429);
    const refused = await lazy.get(path);
    expect([refused.json, refused.headers.get("x-paddock-code")]).toEqual([
      { message: "Too many answers wait to be read" },
      "rate_limited",
    ]);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    // What changes something is refused before it does.
    const posted = await lazy.post("/agents/of-lazy/responses", { input: bash("true") });
    expect([posted.status, (await lazy.get("/agents/of-lazy")).status]).toEqual([429, 200]);
    expect((await other.get("/agents/of-other")).status).toBe(200);
    for (const connection of open) connection[Symbol.dispose]();
    await expect.poll(async () => (await lazy.get(path)).status, { timeout: 20_000 }).toBe(200);
    expect((await lazy.get("/agents/of-lazy/responses")).json).toHaveLength(2);
  },
);
