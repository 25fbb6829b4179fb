import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import type { LiveEvent } from "../../src/agents/events/live-events.ts";
import type { App } from "../../src/app.ts";
import { PaddockError } from "../../src/errors/error.ts";
import type { Lease } from "../../src/fleet/leases/lease.ts";
import type { ResponseRow } from "../../src/model/response.ts";
import { openTestApp } from "../support/home.ts";
import { Responses } from "./responses.ts";
import { leaseAgent } from "./sandboxes.ts";

/** Longer than any test: whoever gets on was told, and did not look by itself. */
const NEVER_MS = 10 * 60_000;
const WORK = {
  content: [
    { type: "bash", content: "echo one; echo two >&2" },
    { type: "python", content: "print('three', flush=True); print('four')" },
    { type: "bash", content: "false" },
  ],
};

let app: App;
let lease: Lease;
let responses: Responses;

beforeAll(async () => {
  app = await openTestApp();
  lease = await leaseAgent(app);
});

afterAll(async () => {
  await lease.close();
  await app[Symbol.asyncDispose]();
});

beforeEach(async () => {
  responses = await Responses.open();
});

afterEach(async () => await responses[Symbol.asyncDispose]());

async function follow(id: string, lastEventId?: string): Promise<LiveEvent[]> {
  return await Array.fromAsync(responses.live.follow(id, lastEventId, new AbortController().signal));
}

const stored = (events: readonly LiveEvent[]): LiveEvent[] =>
  events.filter(({ type }) => type === "segment" || type === "done");

describe("live - a response that runs", () => {
  test("from the beginning, everything comes in the order it happened", async () => {
    responses.forget({ pollMs: NEVER_MS });
    const { id } = await responses.post(WORK);
    const [events] = await Promise.all([follow(id), responses.run(app, lease)]);
    const shown = events.map((event) => {
      if (event.type === "phase") return `${event.phase} ${event.detail}`;
      if (event.type === "output") return `${event.stream} ${event.text.trim()}`;
      if (event.type === "segment") return `${event.number} ${event.segment.type}`;
      return event.type === "gap" ? "gap" : `${event.type} ${event.status}`;
    });
    const streams = shown.filter((line) => /^std/.test(line));
    expect(shown.slice(0, 4)).toEqual(["status pending", "status processing", "run tool_calls", "call Run a command"]);
    expect(shown.filter((line) => !/^(std|call)/.test(line)).slice(3)).toEqual([
      "1 tool_call",
      "2 tool_result",
      "3 tool_call",
      "4 tool_result",
      "5 tool_call",
      "6 tool_result",
      "7 commentary",
      "done failed",
    ]);
    expect(streams.slice(0, 2).toSorted()).toEqual(["stderr two", "stdout one"]);
    expect(streams.slice(2).join(" ").replaceAll("stdout ", "").split(/\s+/)).toEqual(["three", "four"]);
    const callIds = events.flatMap((event) => (event.type === "output" ? [event.tool_call_id] : []));
    expect(events.find((event) => event.type === "segment")).toMatchObject({ segment: { id: callIds[0] } });
  });

  test("after any of its events, the rest is the same; after a restart, its segments are", async () => {
    const { id } = await responses.post(WORK);
    const [events] = await Promise.all([follow(id), responses.run(app, lease)]);
    const ids = events.map((event) => event.id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const [index, lastEventId] of ids.slice(0, -1).entries())
      expect(await follow(id, lastEventId), `after ${lastEventId}`).toEqual(events.slice(index + 1));
    expect(await follow(id, ids.at(-1))).toMatchObject([{ type: "done" }]);
    responses.forget();
    for (const [index, lastEventId] of ids.slice(0, -1).entries()) {
      const rest = await follow(id, lastEventId);
      expect(stored(rest).slice(0, -1)).toEqual(stored(events.slice(index + 1)).slice(0, -1));
      expect(rest.at(-1)).toMatchObject({ type: "done", status: "failed" });
      expect(rest).toHaveLength(stored(rest).length);
    }
    expect((await follow(id)).map(({ type }) => type)).toEqual(["status", ...Array(7).fill("segment"), "done"]);
    expect(await follow(id, "no id of ours")).toEqual(await follow(id));
  });

  test("a reader that comes back in the middle misses nothing and sees nothing twice", async () => {
    responses.forget({ pollMs: NEVER_MS });
    const { id } = await responses.post(WORK);
    const running = responses.run(app, lease);
    const seen: LiveEvent[] = [];
    while (seen.at(-1)?.type !== "done")
      for await (const event of responses.live.follow(id, seen.at(-1)?.id, new AbortController().signal)) {
        seen.push(event);
        if (seen.length % 2 === 0) break;
      }
    await running;
    const whole = await follow(id);
    const late = (events: readonly LiveEvent[]) => events.slice(1).map((event) => ({ ...event, at: undefined }));
    expect(late(seen)).toEqual(late(whole));
  });
});

describe("live - output", () => {
  const open = async (): Promise<{
    id: string;
    row: ResponseRow;
    fence: Parameters<Responses["makeWriter"]>[0]["fence"];
  }> => {
    await responses.post({ content: [] });
    const claim = await responses.claim();
    return { id: claim.row.id, ...claim };
  };

  test("characters that are split between pieces come whole, for each stream of its own", async () => {
    const claim = await open();
    const writer = responses.makeWriter(claim);
    const euro = Buffer.from("€");
    const push = (stream: "stdout" | "stderr", chunk: Buffer) =>
      writer.output({ type: "output", callId: "call_a" as never, stream, chunk });
    await push("stdout", euro.subarray(0, 2));
    await push("stderr", euro.subarray(0, 1));
    await push("stdout", euro.subarray(2));
    await push("stderr", Buffer.concat([euro.subarray(1), Buffer.from([0xff])]));
    await push("stdout", euro.subarray(0, 1));
    await writer.finish(new PaddockError("sandbox_lost", "gone"));
    await responses.store.endResponse(claim.id, { status: "failed" });
    responses.live.close(claim.id);
    const output = (await follow(claim.id)).flatMap((event) =>
      event.type === "output" ? [[event.stream, event.text]] : [],
    );
    expect(output).toEqual([
      ["stdout", "€"],
      ["stderr", "€\ufffd"],
      ["stdout", "\ufffd"],
    ]);
  });

  test("a slow reader gets a gap and then the newest; it holds up nobody and loses no segment", async () => {
    const { id, fence } = await open();
    const log = responses.live.open(id);
    const reader = responses.live.follow(id, undefined, new AbortController().signal);
    const early = [(await reader.next()).value, (await reader.next()).value] as LiveEvent[];
    const piece = "x".repeat(1000);
    for (let segment = 1; segment <= 3; segment++) {
      for (let count = 0; count < 1500; count++) log.output("call_a", "stdout", piece);
      log.stored((await responses.store.appendSegments(id, fence, segment - 1, [{ type: "note", segment }])) as number);
    }
    await responses.store.endResponse(id, { status: "completed" });
    responses.live.close(id);
    const rest = await Array.fromAsync(reader as AsyncIterable<LiveEvent>);
    const bytes = (events: readonly LiveEvent[]) =>
      events.reduce((sum, event) => sum + (event.type === "output" ? event.text.length : 0), 0);
    const gaps = rest.flatMap((event) => (event.type === "gap" ? [event.bytes] : []));
    expect(gaps.reduce((sum, gap) => sum + gap, 0) + bytes(early) + bytes(rest)).toBe(4_500_000);
    expect(gaps).toHaveLength(1);
    expect(bytes(rest)).toBeLessThanOrEqual(1024 * 1024);
    expect(stored(rest).map((event) => (event.type === "segment" ? event.number : event.type))).toEqual([
      1,
      2,
      3,
      "done",
    ]);
    // One that comes back to where output is gone is told too, and at the gap it goes on without another.
    const gap = rest.find(({ type }) => type === "gap");
    expect((await follow(id, "0.7")).find(({ type }) => type === "gap")).toBeDefined();
    expect(await follow(id, gap?.id)).toEqual(rest.slice(rest.indexOf(gap as LiveEvent) + 1));
  });

  test("a flood of tiny pieces takes no more memory than large ones", async () => {
    const { id } = await open();
    const log = responses.live.open(id);
    for (let count = 0; count < 100_000; count++) log.output("call_a", "stdout", "x");
    await responses.store.endResponse(id, { status: "completed" });
    responses.live.close(id);
    const events = await follow(id);
    expect(events.length).toBeLessThan(5000);
    expect(events.find(({ type }) => type === "gap")).toMatchObject({ bytes: 100_000 - (events.length - 3) });
  });

  test("segments that others add stand where they were stored", async () => {
    responses.forget({ pollMs: NEVER_MS });
    const { id, fence } = await open();
    const log = responses.live.open(id);
    const reading = follow(id);
    log.output("call_a", "stdout", "before");
    await responses.store.amendResponse(id, { segments: [{ type: "note", text: "theirs" }] });
    responses.live.changed(id);
    log.stored((await responses.store.appendSegments(id, fence, 0, [{ type: "note", text: "ours" }])) as number);
    log.output("call_a", "stdout", "after");
    await responses.store.endResponse(id, { status: "completed" });
    responses.live.changed(id);
    const events = (await reading).flatMap((event) =>
      event.type === "segment" ? [event.segment["text"]] : event.type === "output" ? [event.text] : [],
    );
    expect(events).toEqual(["before", "theirs", "ours", "after"]);
  });
});

describe("live - waiting", () => {
  const signal = (): AbortSignal => new AbortController().signal;

  test("whoever waits for the end is told, however much happens before", async () => {
    responses.forget({ pollMs: NEVER_MS });
    const { id } = await responses.post(WORK);
    const waiting = responses.live.awaitResponse(id, "ended", signal());
    await responses.run(app, lease);
    const found = await waiting;
    expect(found?.row.status).toBe("failed");
    expect(found?.segments).toHaveLength(7);
    expect(await responses.live.awaitResponse(id, "ended", signal())).toEqual(found);
  });

  test("whoever waits for another version is told of the next one", async () => {
    responses.forget({ pollMs: NEVER_MS });
    const { id, version } = await responses.post({ content: [] });
    const waiting = responses.live.awaitResponse(id, { version }, signal());
    const { row } = await responses.claim();
    responses.live.changed(id);
    expect((await waiting)?.row).toMatchObject({ status: "processing", version: row.version });
  });

  test("an aborted wait gives the response as it is; one that is gone gives nothing", async () => {
    const { id } = await responses.post({ content: [] });
    const controller = new AbortController();
    const waiting = responses.live.awaitResponse(id, "ended", controller.signal);
    controller.abort();
    expect((await waiting)?.row.status).toBe("pending");
    expect(
      await responses.live.awaitResponse("00000000-0000-4000-8000-000000000000", "ended", signal()),
    ).toBeUndefined();
    expect(await follow("00000000-0000-4000-8000-000000000000")).toEqual([]);
  });

  test("what another process does is seen a moment later", async () => {
    responses.forget({ pollMs: 5 });
    const { id } = await responses.post({ content: [] });
    const waiting = Promise.all([responses.live.awaitResponse(id, "ended", signal()), follow(id)]);
    await responses.store.endResponse(id, { status: "cancelled", segments: [{ type: "cancelled" }] });
    const [found, events] = await waiting;
    expect(found?.row.status).toBe("cancelled");
    expect(events.map(({ type }) => type).filter((type) => type !== "status")).toEqual(["segment", "done"]);
  });

  test("a deleted response ends its readers", async () => {
    responses.forget({ pollMs: NEVER_MS });
    const { id } = await responses.post({ content: [] });
    const reading = follow(id);
    await responses.store.deleteAgent(responses.agent.id);
    responses.live.changed(id);
    expect((await reading).map(({ type }) => type).filter((type) => type !== "status")).toEqual([]);
  });
});

test("live - nothing is kept of what has ended and of readers that left", async () => {
  responses.forget({ keepMs: 1, pollMs: NEVER_MS });
  const { id } = await responses.post(WORK);
  const controller = new AbortController();
  const reader = responses.live.follow(id, undefined, controller.signal);
  await reader.next();
  const next = reader.next();
  expect(responses.live.size).toBe(1);
  controller.abort();
  expect((await next).done).toBe(true);
  expect(responses.live.size).toBe(0);
  await responses.run(app, lease);
  await vi.waitFor(() => expect(responses.live.size).toBe(0));
});
