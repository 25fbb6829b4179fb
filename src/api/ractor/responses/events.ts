import { Readable } from "node:stream";
import { z } from "zod";
import type { Agents } from "../../../agents/agents.ts";
import type { LiveEvent } from "../../../agents/events/live-events.ts";
import { PaddockError } from "../../../errors/error.ts";
import { KeyedCount } from "../../../lib/keyed-count.ts";
import { raceTick, TICK, watchClient } from "../../http/connection.ts";
import type { Server, ServerParts } from "../../http/server-services.ts";
import { sendStream } from "../../http/streams.ts";
import { assertHere, findResponse, findVisible } from "../request/find.ts";
import { RESPONSES } from "../request/paths.ts";
import { EventsQuery, ResponsePath } from "../request/query-schemas.ts";

const MAX_STREAMS = 32;
const KEEP_ALIVE_MS = 15_000;
const EVENT_ID = /^\d{1,9}\.\d{1,15}$/;

export function registerEvents(server: Server, parts: ServerParts): void {
  const open = new KeyedCount();
  const summary = "Follow a response: server-sent events";
  const body = z.string().describe("text/event-stream; see docs/responses.md");
  const schema = {
    tags: ["responses"],
    summary,
    params: ResponsePath,
    querystring: EventsQuery,
    response: { 200: body },
  };
  const config = { access: "read", requestMs: Number.POSITIVE_INFINITY } as const;
  server.get(`${RESPONSES}/:id/events`, { schema, config, exposeHeadRoute: false }, async (request, reply) => {
    const agent = await findVisible(parts, request);
    const { id } = await findResponse(parts, agent, request.params.id);
    await assertHere(parts, agent);
    const last = request.headers["last-event-id"] ?? request.query.last_event_id;
    const after = typeof last === "string" && EVENT_ID.test(last) ? last : undefined;
    const gone = watchClient(reply);
    const { name } = request.principal;
    if (open.of(name) >= MAX_STREAMS)
      throw new PaddockError(
        "rate_limited",
        `${MAX_STREAMS} event streams are open, and more are not given to one principal`,
      );
    open.add(name);
    const events = Readable.from(writeEvents(parts.agents, id, after, gone), {
      objectMode: false,
      highWaterMark: 65_536,
    });
    events.once("close", () => open.remove(name));
    reply.type("text/event-stream; charset=utf-8");
    reply.header("cache-control", "no-store").header("x-accel-buffering", "no");
    return sendStream(reply, events);
  });
}

async function* writeEvents(
  agents: Agents,
  id: string,
  after: string | undefined,
  gone: AbortSignal,
): AsyncGenerator<string> {
  yield ": events\nretry: 1000\n\n";
  const events = agents.follow(id, after, gone)[Symbol.asyncIterator]();
  try {
    for (let next = events.next(); ; ) {
      next.catch(() => undefined);
      const step = await raceTick(next, KEEP_ALIVE_MS);
      if (step === TICK) yield ": alive\n\n";
      else if (step.done) return;
      else {
        yield writeEvent(step.value);
        next = events.next();
      }
    }
  } finally {
    await events.return?.();
  }
}

function writeEvent({ id, ...data }: LiveEvent): string {
  return `id: ${id}\nevent: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`;
}
