import { Readable } from "node:stream";
import type { FastifyReply } from "fastify";
import { z } from "zod";
import { noResponse } from "../../../errors/not-found.ts";
import { Deadline } from "../../../lib/deadline.ts";
import { isTerminalStatus, type ResponseRow } from "../../../model/response.ts";
import type { ResponseWithSegments } from "../../../store/state-store/responses.ts";
import { watchClient } from "../../http/connection.ts";
import type { Server, ServerParts } from "../../http/server-services.ts";
import { sendStream } from "../../http/streams.ts";
import { findResponse, findResponseOfAny, findVisible } from "../request/find.ts";
import { RESPONSES } from "../request/paths.ts";
import { AgentPath, ResponseCountQuery, ResponseListQuery, ResponsePath, WaitQuery } from "../request/query-schemas.ts";
import { firstRows, writeRows } from "./response-list.ts";
import { ResponseBody, viewResponse } from "./response-view.ts";

const MAX_WAIT_SECONDS = 60;
const tags = ["responses"];
const read = { access: "read" } as const;
const slow = { ...read, requestMs: (MAX_WAIT_SECONDS + 30) * 1000 };
const Count = z.object({ count: z.int(), agent_name: z.string() });

export function registerResponseReads(server: Server, parts: ServerParts): void {
  const list = { tags, summary: "List responses, oldest first", params: AgentPath, querystring: ResponseListQuery };
  const listing = {
    schema: { ...list, response: { 200: z.array(ResponseBody) } },
    config: read,
    exposeHeadRoute: false,
  };
  server.get(RESPONSES, listing, async (request, reply) => {
    const agent = await findVisible(parts, request);
    const { rows, next } = await firstRows(parts.store, agent.id, request.query);
    if (next === undefined) return rows.map(viewResponse);
    return sendStream(reply, Readable.from(writeRows(rows, next, request.unsent), { objectMode: false }));
  });

  const count = { tags, summary: "Count responses", params: AgentPath, querystring: ResponseCountQuery };
  const counting = { schema: { ...count, response: { 200: Count } }, config: read };
  server.get(`${RESPONSES}/count`, counting, async (request) => {
    const agent = await findVisible(parts, request);
    return { count: await parts.store.countResponses(agent.id, request.query.status), agent_name: agent.name };
  });

  const get = { tags, summary: "Read a response", params: ResponsePath, querystring: WaitQuery };
  const getting = { schema: { ...get, response: { 200: ResponseBody } }, config: slow };
  server.get(`${RESPONSES}/:id`, getting, async (request, reply) => {
    const agent = await findVisible(parts, request);
    const row = await findResponse(parts, agent, request.params.id);
    return await answerOne(parts, row, request, reply);
  });

  const any = { ...get, summary: "Read a response by its id alone", params: z.object({ id: z.string() }) };
  const asking = {
    schema: { ...any, response: { 200: ResponseBody } },
    config: { ...slow, checksAgents: true },
  };
  server.get("/api/v0/responses/:id", asking, async (request, reply) => {
    const row = await findResponseOfAny(parts, request.params.id, request.principal);
    return await answerOne(parts, row, request, reply);
  });
}

interface Asked {
  readonly query: z.infer<typeof WaitQuery>;
  readonly headers: { readonly "if-none-match"?: string | undefined };
}

/** The response, or 304 when the client has this version. With `wait` it is held until there is something to say. */
async function answerOne(
  parts: ServerParts,
  row: ResponseRow,
  { query, headers }: Asked,
  reply: Pick<FastifyReply, "raw" | "header" | "code">,
): Promise<ResponseBody> {
  const known = readVersions(headers["if-none-match"]);
  const waitMs = Math.min(MAX_WAIT_SECONDS, query.wait ?? 0) * 1000;
  const whole = await lookAt(parts, row, known, waitMs, watchClient(reply));
  if (whole === undefined) throw noResponse();
  reply.header("etag", `"${whole.row.version}"`);
  reply.header("cache-control", "private, no-cache");
  if (!known.has(whole.row.version)) return viewResponse(whole);
  reply.code(304);
  return undefined as never;
}

async function lookAt(
  { agents, store }: ServerParts,
  row: ResponseRow,
  known: ReadonlySet<number>,
  waitMs: number,
  gone: AbortSignal,
): Promise<ResponseWithSegments | undefined> {
  const isOver = isTerminalStatus(row.status) || waitMs === 0;
  if (known.has(row.version) && isOver) return { row, segments: [] };
  if (isOver || (known.size > 0 && !known.has(row.version))) return await store.getResponse(row.id);
  using deadline = Deadline.after(waitMs, gone);
  const until = known.size > 0 ? { version: row.version } : "ended";
  return await agents.awaitResponse(row.id, until, deadline.signal);
}

/** The versions that `If-None-Match` names. */
function readVersions(header: string | undefined): ReadonlySet<number> {
  const tags = (header ?? "").slice(0, 1000).matchAll(/(?:^|[\s,])(?:W\/)?"(\d{1,15})"/g);
  return new Set([...tags].map(([, version]) => Number(version)));
}
