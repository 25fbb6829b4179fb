import { z } from "zod";
import { ADMIN } from "../../access/issue.ts";
import { PaddockError } from "../../errors/error.ts";
import { requireJson } from "../http/bodies.ts";
import type { Server, ServerParts } from "../http/server-services.ts";
import { showTime } from "../http/times.ts";
import { readType } from "./auth.ts";

const BLOCKLIST = "/api/v0/blocklist";
const tags = ["blocklist"];
const config = { access: "admin", denied: "Only admin can perform this action" } as const;

const Body = z.object({ principal: z.string().min(1).max(255), type: z.string().nullish() });
const Item = z.object({ principal: z.string(), principal_type: z.enum(["Subject", "Admin"]), created_at: z.string() });

/** Principals whose tokens are refused, of either type. */
export function registerBlocklist(server: Server, { store }: ServerParts): void {
  const list = { tags, summary: "List blocked principals", response: { 200: z.array(Item) } };
  server.get(BLOCKLIST, { schema: list, config }, async () =>
    (await store.listBlocks()).map(({ principal, type, createdAt }) => ({
      principal,
      principal_type: type === "User" ? ("Subject" as const) : ("Admin" as const),
      created_at: showTime(createdAt),
    })),
  );

  const Blocked = z.object({ blocked: z.literal(true), created: z.boolean() });
  const block = { tags, summary: "Block a principal", body: Body, response: { 200: Blocked } };
  server.post(`${BLOCKLIST}/block`, { schema: block, config, onRequest: requireJson }, async ({ body }) => {
    const type = readType(body.type ?? "User");
    if (type === "Admin" && body.principal === ADMIN)
      throw new PaddockError("wrong_state", "The operator admin cannot be blocked");
    return { blocked: true as const, created: await store.block(body.principal, type, Date.now()) };
  });

  const Unblocked = z.object({ blocked: z.literal(false), deleted: z.boolean() });
  const unblock = { tags, summary: "Let a principal in again", body: Body, response: { 200: Unblocked } };
  server.post(`${BLOCKLIST}/unblock`, { schema: unblock, config, onRequest: requireJson }, async ({ body }) => ({
    blocked: false as const,
    deleted: await store.unblock(body.principal, readType(body.type ?? "User")),
  }));
}
