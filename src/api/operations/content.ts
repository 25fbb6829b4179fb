import { Readable } from "node:stream";
import type { FastifyReply, FastifyRequest } from "fastify";
import { z } from "zod";
import { PaddockError } from "../../errors/error.ts";
import { ifFound } from "../../errors/not-found.ts";
import type { PublishedFile } from "../../store/state-store/publications.ts";
import type { Server, ServerParts } from "../http/server-services.ts";
import { guessContentType } from "./content-types.ts";

/** Large files and slow readers: this much time for one. */
const REQUEST_MS = 600_000;
const tags = ["content"];
const config = { access: "public", requestMs: REQUEST_MS } as const;

/**
 * Nobody has read what agents publish. It is shown in a sandbox of the browser, without an origin: it can reach neither
 * the API nor what other agents published. Its scripts run only where the port is its own.
 */
const POLICIES = {
  shared:
    "sandbox allow-popups allow-downloads; script-src 'none'; object-src 'none'; base-uri 'none'; form-action 'none'",
  own: "sandbox allow-scripts allow-forms allow-modals allow-popups allow-downloads; object-src 'none'; base-uri 'none'",
} as const;

/** What agents have published, below `/content/<agent>/`. */
export function registerContent(server: Server, parts: ServerParts, port: keyof typeof POLICIES): void {
  const answer = z.object({ status: z.literal("healthy"), service: z.string() });
  const health = { tags, summary: "Published content is served", response: { 200: answer } };
  server.get("/content/health", { schema: health, config }, () => ({
    status: "healthy" as const,
    service: "paddock-content",
  }));
  server.get("/content/", { schema: { hide: true }, config }, async (_request, reply) => reply.send());

  const serve = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const { name, "*": path } = request.params as { readonly name: string; readonly "*"?: string };
    setPolicy(reply, port);
    const sent = path === undefined ? undefined : await sendFile(parts, request, reply, { name, path });
    if (sent) return sent;
    if (path === undefined || !path.endsWith("/")) {
      const index = await findFile(parts, name, path === undefined ? "" : `${path}/`);
      if (index) return await reply.redirect(`${request.url.split("?", 1)[0]}/`, 302);
    }
    throw new PaddockError("not_found", "Not found");
  };
  const get = { tags, summary: "A file that an agent has published; `index.html` for a folder" };
  server.get("/content/:name", { schema: { hide: true }, config }, serve);
  server.get("/content/:name/*", { schema: get, config }, serve);
}

async function findFile({ store }: ServerParts, name: string, path: string): Promise<PublishedFile | undefined> {
  const isFolder = path === "" || path.endsWith("/");
  return await store.findPublishedFile(name, isFolder ? `${path}index.html` : path);
}

function setPolicy(reply: FastifyReply, port: keyof typeof POLICIES): void {
  reply
    .header("content-security-policy", POLICIES[port])
    .header("referrer-policy", "no-referrer")
    .header("cross-origin-opener-policy", "same-origin")
    .header("x-frame-options", "DENY")
    .header("cache-control", "no-cache");
  // A page without an origin may load its own fonts, modules and data only where anybody may; there is nothing but
  // public content here.
  if (port === "own") reply.header("access-control-allow-origin", "*");
}

/**
 * Undefined when there is no such file. What a newer publication has removed since it was found is looked for once
 * more.
 */
async function sendFile(
  parts: ServerParts,
  request: FastifyRequest,
  reply: FastifyReply,
  { name, path }: { readonly name: string; readonly path: string },
): Promise<FastifyReply | undefined> {
  for (let missing: string | undefined; ; ) {
    const file = await findFile(parts, name, path);
    if (file === undefined) return undefined;
    const etag = `"${file.sha256}"`;
    if (request.headers["if-none-match"] === etag) return await reply.header("etag", etag).code(304).send();
    const content = await readContent(parts, file, missing);
    if (content === undefined) {
      missing = file.artifactKey;
      continue;
    }
    reply.headers({ etag, "content-length": String(file.bytes) }).type(guessContentType(file.path));
    return await reply.send(Readable.from(content));
  }
}

/** Undefined when it is gone. Throws that for the one that was missing before: its row has no bytes. */
async function readContent(
  { artifacts }: ServerParts,
  { artifactKey }: PublishedFile,
  missing: string | undefined,
): Promise<AsyncIterable<Uint8Array> | undefined> {
  const reading = artifacts.get(artifactKey);
  return (await (artifactKey === missing ? reading : ifFound(reading)))?.content;
}
