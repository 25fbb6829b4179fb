import { afterAll, beforeAll, expect, test } from "vitest";
import { startService, type TestService } from "../../support/service.ts";
import { Api, bash, type Json } from "./api.ts";

let service: TestService;
let api: Api;

beforeAll(async () => {
  service = await startService();
  api = new Api(service.url, await service.token("u1"));
  await api.makeAgent("live");
});

afterAll(async () => {
  await service[Symbol.asyncDispose]();
});

interface Event {
  readonly id: string;
  readonly event: string;
  readonly data: Json;
}

/** Server-sent events as the standard has them, until the server ends the stream or `isEnough`. */
async function follow(
  id: string,
  { after, query = "", isEnough }: { after?: string; query?: string; isEnough?: (event: Event) => boolean } = {},
): Promise<{ events: Event[]; comments: number; type: string | null }> {
  const headers = { authorization: `Bearer ${api.token}`, ...(after === undefined ? {} : { "last-event-id": after }) };
  const url = `${api.url}/agents/live/responses/${id}/events${query}`;
  const reply = await fetch(url, { headers });
  expect(reply.status).toBe(200);
  const events: Event[] = [];
  let comments = 0;
  let text = "";
  for await (const chunk of reply.body ?? []) {
    text += Buffer.from(chunk).toString();
    for (let end = text.indexOf("\n\n"); end !== -1; end = text.indexOf("\n\n")) {
      const block = text.slice(0, end).split("\n");
      text = text.slice(end + 2);
      const field = (name: string) => block.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2) ?? "";
      if (block.some((line) => line.startsWith(":"))) comments++;
      if (field("data") === "") continue;
      events.push({ id: field("id"), event: field("event"), data: JSON.parse(field("data")) });
    }
    const last = events.at(-1);
    // Leaving the loop closes the connection.
    if (last !== undefined && isEnough?.(last)) break;
  }
  return { events, comments, type: reply.headers.get("content-type") };
}

test("events - phases, output, segments and done in order, live, with the first bytes before the first event", async () => {
  const source = "echo before; until [ -e go ]; do sleep 0.02; done; echo after";
  const { id } = (await api.post("/agents/live/responses", { input: bash(source) })).json;
  const isOutput = (event: Event) => event.event === "output" && event.data.text.includes("before");
  const first = await follow(id, { isEnough: isOutput });
  expect(first.type).toBe("text/event-stream; charset=utf-8");
  expect(first.comments).toBe(1);
  await api.put("/agents/live/files/write/go", "");
  const rest = await follow(id, { after: first.events.at(-1)?.id ?? "" });
  expect(rest.events.at(-1)).toMatchObject({ event: "done", data: { type: "done", status: "completed" } });
  const all = [...first.events, ...rest.events];
  const numbers = all.flatMap(({ event, data }) => (event === "segment" ? [data.number] : []));
  expect(numbers).toEqual(numbers.map((_number, index) => index + 1));
  const output = all.flatMap(({ event, data }) => (event === "output" ? [data.text] : [])).join("");
  expect(output).toBe("before\nafter\n");
  const { segments } = await api.awaitEnded("live", id);
  expect(all.flatMap(({ event, data }) => (event === "segment" ? [data.segment] : []))).toEqual(segments);
});

test("events - after the end a reader still gets every segment, or those after an id, and done", async () => {
  const { id, segments } = await api.run("live", "echo done");
  const whole = (await follow(id)).events;
  expect(whole.filter(({ event }) => event === "segment").map(({ data }) => data.segment)).toEqual(segments);
  const second = whole.filter(({ event }) => event === "segment")[1];
  const rest = (await follow(id, { query: `?last_event_id=${second?.id}` })).events;
  expect(rest.filter(({ event }) => event === "segment").map(({ data }) => data.number)).toEqual(
    segments.slice(2).map((_segment: unknown, index: number) => index + 3),
  );
  expect(rest.at(-1)?.event).toBe("done");
  const odd = (await follow(id, { after: "../../etc" })).events;
  expect(odd.filter(({ event }) => event === "segment")).toHaveLength(segments.length);
});

test("events - one principal has so many streams, and gets a place back when one closes", async () => {
  const { id } = (await api.post("/agents/live/responses", { input: bash("sleep 60") })).json;
  const leave = new AbortController();
  const headers = { authorization: `Bearer ${api.token}` };
  const url = `${api.url}/agents/live/responses/${id}/events`;
  const open = () => fetch(url, { headers, signal: leave.signal });
  const replies = await Promise.all(Array.from({ length: 32 }, open));
  expect(replies.every(({ status }) => status === 200)).toBe(true);
  const refused = await open();
  expect([refused.status, refused.headers.has("retry-after")]).toEqual([429, true]);
  await refused.text();
  const other = await fetch(url, { headers: { authorization: `Bearer ${service.adminToken}` }, signal: leave.signal });
  expect(other.status).toBe(200);
  await api.post(`/agents/live/responses/${id}/cancel`);
  await Promise.all(replies.map((reply) => reply.text()));
  expect((await follow(id)).events.at(-1)?.data.status).toBe("cancelled");
  leave.abort();
});
