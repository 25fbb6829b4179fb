import { createHash } from "node:crypto";
import swagger from "@fastify/swagger";
import { createJsonSchemaTransform } from "fastify-type-provider-zod";
import { PRODUCT_VERSION } from "../../model/version.ts";
import type { Server, ServerParts } from "../http/server-services.ts";
import { type OpenApi, PAGE_STYLE, renderPage } from "./docs-page.ts";

const PAGE_POLICY = `default-src 'none'; style-src 'sha256-${createHash("sha256").update(PAGE_STYLE).digest("base64")}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

/** Registers before all routes: what is described is what is registered. */
export async function registerDocs(server: Server, { config }: ServerParts): Promise<void> {
  const transform = createJsonSchemaTransform({ zodToJsonConfig: { unrepresentable: "any" } });
  await server.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: {
        title: "Paddock",
        version: PRODUCT_VERSION,
        description: "Agents, tasks and their records. Below /api/v0 the Ractor API with additions.",
      },
      ...(config.publicUrl === undefined ? {} : { servers: [{ url: config.publicUrl }] }),
      components: { securitySchemes: { token: { type: "http", scheme: "bearer" } } },
    },
    transform: (document) => {
      const { schema, url } = transform(document as Parameters<typeof transform>[0]);
      const access: string | undefined = document.route.config?.access;
      const security = access === "public" ? [] : [{ token: [] }];
      return { url, schema: { ...schema, security, description: `Access: ${access}.` } };
    },
  });
  let page: string | undefined;
  const hidden = { schema: { hide: true }, config: { access: "public" } } as const;
  server.get("/openapi.json", hidden, async (_request, reply) =>
    reply.type("application/json; charset=utf-8").send(JSON.stringify(server.swagger())),
  );
  server.get("/docs", hidden, async (_request, reply) => {
    page ??= renderPage(server.swagger() as OpenApi);
    return reply
      .type("text/html; charset=utf-8")
      .header("content-security-policy", PAGE_POLICY)
      .header("referrer-policy", "no-referrer")
      .send(page);
  });
}
