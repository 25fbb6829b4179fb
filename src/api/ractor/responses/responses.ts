import { z } from "zod";
import type { PostRequest, ResponseAmendment } from "../../../agents/agents.ts";
import { PaddockError } from "../../../errors/error.ts";
import type { AgentRow } from "../../../model/agent.ts";
import type { Principal } from "../../../model/principal.ts";
import type { ResponseOptions } from "../../../model/response.ts";
import { continueTrace } from "../../../telemetry/traceparent.ts";
import { allowEmptyBody, requireJson } from "../../http/bodies.ts";
import { watchClient } from "../../http/connection.ts";
import type { Server, ServerParts } from "../../http/server-services.ts";
import { sendStream } from "../../http/streams.ts";
import { isOwner } from "../request/access-rules.ts";
import { assertHere, findOwned, findResponse, findVisible } from "../request/find.ts";
import { readIdempotencyKey } from "../request/idempotency.ts";
import { RESPONSES } from "../request/paths.ts";
import { AgentPath, ResponsePath } from "../request/query-schemas.ts";
import { convertInput, PostResponseBody, PutResponseBody } from "./response-schemas.ts";
import { findOutput, ResponseBody, viewResponse } from "./response-view.ts";
import { answerWhenEnded, readWait } from "./response-wait.ts";

/** The longest wait that a client may ask for, and a minute for the rest. */
const POST_MS = 3_660_000;
const tags = ["responses"];
const write = { access: "write" } as const;
const Cancelled = z.object({
  status: z.literal("ok"),
  agent: z.string(),
  response: z.string(),
  cancelled: z.boolean(),
});

export function registerResponses(server: Server, parts: ServerParts): void {
  const post = { tags, summary: "Give an agent work", params: AgentPath, body: PostResponseBody };
  const posting = {
    schema: { ...post, response: { 200: ResponseBody } },
    config: { ...write, requestMs: POST_MS },
    onRequest: requireJson,
  };
  server.post(RESPONSES, posting, async (request, reply) => {
    const { body, principal } = request;
    const agent = await findVisible(parts, request);
    await assertHere(parts, agent);
    const { row, isNew } = await parts.agents.post(
      agent,
      compilePost(request, agent, parts.config.maxLimits.taskTimeoutMs),
      principal,
    );
    reply.header("x-paddock-response-id", row.id);
    if (!isNew) reply.header("idempotency-replayed", "true");
    if (body.background === false) {
      const waitMs = readWait(body.wait_seconds, request.headers["prefer"]);
      return sendStream(
        reply,
        answerWhenEnded(parts.agents, row, waitMs, { gone: watchClient(reply), unsent: request.unsent }),
      );
    }
    const whole = isNew ? { row, segments: [] } : await parts.store.getResponse(row.id);
    return viewResponse(whole ?? { row, segments: [] });
  });

  const put = { tags, summary: "Amend a response", params: ResponsePath, body: PutResponseBody };
  const amending = { schema: { ...put, response: { 200: ResponseBody } }, config: write, onRequest: requireJson };
  server.put(`${RESPONSES}/:id`, amending, async (request) => {
    const agent = await findOwned(parts, request);
    const row = await findResponse(parts, agent, request.params.id);
    return viewResponse(await parts.agents.amend(agent, row.id, compileAmendment(request.body)));
  });

  const cancel = { tags, summary: "Cancel one response", params: ResponsePath, response: { 200: Cancelled } };
  const cancelling = { schema: cancel, config: write, onRequest: allowEmptyBody };
  server.post(`${RESPONSES}/:id/cancel`, cancelling, async (request) => {
    const agent = await findVisible(parts, request);
    const row = await findResponse(parts, agent, request.params.id);
    if (!isOwner(agent, request.principal) && row.createdBy !== request.principal.name)
      throw new PaddockError("forbidden", "You can only cancel your own agents");
    await assertHere(parts, agent);
    const cancelled = await parts.agents.cancelResponse(agent, row.id);
    return { status: "ok" as const, agent: agent.name, response: row.id, cancelled };
  });
}

interface Posted {
  readonly id: string;
  readonly body: PostResponseBody;
  readonly principal: Principal;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

function compilePost(request: Posted, agent: AgentRow, longestMs: number): PostRequest {
  const { body, principal, headers, id } = request;
  const { traceparent } = headers;
  const work = { idempotent: body.idempotent ?? false, ...compileTimeout(body.timeout_seconds, longestMs) };
  const input = convertInput(body.input);
  const key = readIdempotencyKey(request, ["response", agent.id, input, work]);
  return {
    input,
    options: { ...work, traceparent: continueTrace(typeof traceparent === "string" ? traceparent : undefined, id) },
    refuseBusy: body.if_busy === "refuse",
    mayWake: isOwner(agent, principal),
    ...(key === undefined ? {} : { key }),
  };
}

/** Nobody asks for more time than the operator gives. */
function compileTimeout(seconds: number | null | undefined, longestMs: number): Pick<ResponseOptions, "timeoutMs"> {
  if (seconds == null) return {};
  const timeoutMs = Math.max(1, Math.round(seconds * 1000));
  if (timeoutMs <= longestMs) return { timeoutMs };
  throw new PaddockError("invalid_request", `timeout_seconds: at most ${longestMs / 1000} is given here`);
}

function compileAmendment({ status, input, output }: PutResponseBody): ResponseAmendment {
  const segments = output?.items ?? [];
  const outputContent = findOutput(segments);
  return {
    segments,
    ...(status == null ? {} : { status }),
    ...(input === undefined ? {} : { input: convertInput(input) }),
    ...(outputContent === undefined ? {} : { outputContent }),
  };
}
