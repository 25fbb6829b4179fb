import { z } from "zod";
import { readAuthorization } from "../http/authenticate.ts";
import type { Server, ServerParts } from "../http/server-services.ts";

const Check = z.strictObject({ ok: z.boolean(), detail: z.string().optional() });
const Ready = z.strictObject({ ready: z.boolean(), checks: z.record(z.string(), Check).optional() });

/** What who runs the server asks it. */
export function registerOperations(server: Server, parts: ServerParts): void {
  const tags = ["operations"];
  const health = { tags, summary: "Alive", response: { 200: z.strictObject({ status: z.literal("ok") }) } };
  server.get("/health", { schema: health, config: { access: "public" } }, () => ({ status: "ok" as const }));

  const ready = {
    tags,
    summary: "Ready for work: driver, store, disk. 503 when not. What was found goes to callers with a token",
    response: { 200: Ready, 503: Ready },
  };
  server.get("/ready", { schema: ready, config: { access: "public" } }, async (request, reply) => {
    const isKnown = request.headers.authorization !== undefined;
    if (isKnown) await parts.access.authenticate(readAuthorization(request));
    const { isReady, details } = await parts.checkReadiness();
    return reply.code(isReady ? 200 : 503).send({ ready: isReady, ...(isKnown ? { checks: details } : {}) });
  });

  const metrics = {
    tags,
    summary: "Metrics in the text format of Prometheus",
    produces: ["text/plain"],
    response: { 200: z.string() },
  };
  const access = parts.config.publicMetrics ? "public" : "metrics";
  server.get(
    "/metrics",
    { schema: metrics, config: { access }, serializerCompiler: () => String },
    async (_request, reply) => reply.type(parts.metrics.contentType).send(await parts.metrics.text()),
  );
}
