import { z } from "zod";
import type { IssuedToken } from "../../access/access.ts";
import { ITEM_TYPES } from "../../agents/run/input-items.ts";
import { PaddockError } from "../../errors/error.ts";
import { coversScope, type Principal, SCOPES, type TokenRow } from "../../model/principal.ts";
import { PRODUCT_VERSION } from "../../model/version.ts";
import { allowEmptyBody, requireJson } from "../http/bodies.ts";
import type { Server, ServerParts } from "../http/server-services.ts";
import { showOptionalTime, showTime } from "../http/times.ts";

const BASE = "/api/v0";
const tags = ["auth"];

const PrincipalName = z.string().regex(/^\P{Cc}{1,255}$/u, "1 to 255 characters, no control characters");
const ttl = z.number().positive().nullish();
const LoginBody = z.object({ pass: z.string().max(1024), ttl_hours: ttl });
const TokenBody = z.object({
  principal: PrincipalName,
  type: z.string(),
  ttl_hours: ttl,
  scope: z.enum(SCOPES).optional(),
  agents: z.array(z.string().min(1).max(64)).min(1).max(1000).optional(),
});
const TokenReply = z.object({
  token: z.string(),
  token_type: z.literal("Bearer"),
  expires_at: z.string().nullable(),
  user: z.string(),
  role: z.enum(["admin", "user"]),
  id: z.string(),
  scope: z.enum(SCOPES),
});
const TokenItem = z.object({
  id: z.string(),
  principal: z.string(),
  type: z.enum(["User", "Admin"]),
  scope: z.enum(SCOPES),
  agents: z.array(z.string()).nullable(),
  created_by: z.string(),
  created_at: z.string(),
  expires_at: z.string().nullable(),
});

export const readType = (type: string): "User" | "Admin" => {
  if (type === "User" || type === "Admin") return type;
  throw new PaddockError("invalid_request", "Invalid type. Must be 'User' or 'Admin'");
};

/** Logging in, and tokens. */
export function registerAuth(server: Server, parts: ServerParts): void {
  const version = z.object({
    version: z.string(),
    api: z.literal("v0"),
    paddock: z.object({ items: z.array(z.string()) }),
  });
  const aboutVersion = { tags, summary: "What this server is", response: { 200: version } };
  server.get(`${BASE}/version`, { schema: aboutVersion, config: { access: "public" } }, () => ({
    version: PRODUCT_VERSION,
    api: "v0" as const,
    paddock: { items: [...ITEM_TYPES] },
  }));

  const login = {
    tags,
    summary: "Log an operator in",
    params: z.object({ name: z.string().max(255) }),
    body: LoginBody,
    response: { 200: TokenReply },
  };
  server.post(
    `${BASE}/operators/:name/login`,
    { schema: login, config: { access: "public", isLogin: true }, onRequest: requireJson },
    async ({ params, body }) =>
      showIssued(await parts.access.login(params.name, body.pass, body.ttl_hours ?? undefined)),
  );

  const who = z.object({ user: z.string(), type: z.enum(["User", "Admin"]), scope: z.enum(SCOPES) });
  const aboutAuth = { tags, summary: "Who the token speaks for", response: { 200: who } };
  server.get(
    `${BASE}/auth`,
    { schema: aboutAuth, config: { access: "read", checksAgents: true } },
    ({ principal }) => ({
      user: principal.name,
      type: principal.type,
      scope: principal.scope,
    }),
  );

  const create = { tags, summary: "Issue a token", body: TokenBody, response: { 200: TokenReply } };
  const denied = "Only admin can create tokens";
  server.post(
    `${BASE}/auth/token`,
    { schema: create, config: { access: "admin", denied }, onRequest: requireJson },
    async ({ body, principal }) => {
      const { scope, agents } = body;
      const type = readType(body.type);
      const isOperator = (await parts.store.findOperator(body.principal)) !== undefined;
      if (type === "Admin" && !isOperator) throw new PaddockError("not_found", "Operator not found");
      if (type === "User" && isOperator)
        throw new PaddockError("name_taken", `${body.principal} is an operator: its tokens are of the type Admin`, {
          hint: "Choose another principal for a token of the type User.",
        });
      const ttlHours = body.ttl_hours ?? undefined;
      const request = {
        principal: body.principal,
        type,
        ...(scope === undefined ? {} : { scope }),
        ...(agents === undefined ? {} : { agents }),
        ...(ttlHours === undefined ? {} : { ttlHours }),
      };
      return showIssued(await parts.access.issue(request, principal));
    },
  );
  registerTokens(server, parts);
}

/** Ours: tokens can be looked at and taken back. Everybody sees and revokes their own. */
function registerTokens(server: Server, parts: ServerParts): void {
  const list = async (principal: Principal): Promise<readonly TokenRow[]> => {
    if (principal.scope === "admin") return await parts.store.listTokens();
    const own = await parts.store.listTokens(principal.name);
    return own.filter(({ type }) => type === principal.type);
  };
  const aboutList = { tags, summary: "List living tokens", response: { 200: z.object({ items: z.array(TokenItem) }) } };
  server.get(`${BASE}/auth/tokens`, { schema: aboutList, config: { access: "read" } }, async ({ principal }) => ({
    items: (await list(principal)).map(showToken),
  }));

  const aboutRevoke = {
    tags,
    summary: "Revoke a token, from the next request on",
    params: z.object({ id: z.string().max(64) }),
    response: { 200: z.object({ revoked: z.literal(true) }) },
  };
  server.delete(
    `${BASE}/auth/tokens/:id`,
    { schema: aboutRevoke, config: { access: "read" }, onRequest: allowEmptyBody },
    async ({ params, principal }) => {
      const theirs = (await list(principal)).find(({ id }) => id === params.id);
      if (theirs !== undefined && !coversScope(principal.scope, theirs.scope))
        throw new PaddockError("forbidden", "Insufficient permissions");
      if (theirs === undefined || !(await parts.access.revoke(params.id)))
        throw new PaddockError("not_found", "Token not found");
      return { revoked: true as const };
    },
  );
}

const showIssued = ({ token, row }: IssuedToken): z.infer<typeof TokenReply> => ({
  token,
  token_type: "Bearer",
  expires_at: showOptionalTime(row.expiresAt),
  user: row.principal,
  role: row.type === "Admin" ? "admin" : "user",
  id: row.id,
  scope: row.scope,
});

const showToken = (row: TokenRow): z.infer<typeof TokenItem> => ({
  id: row.id,
  principal: row.principal,
  type: row.type,
  scope: row.scope,
  agents: row.agents === null ? null : [...row.agents],
  created_by: row.createdBy,
  created_at: showTime(row.createdAt),
  expires_at: showOptionalTime(row.expiresAt),
});
