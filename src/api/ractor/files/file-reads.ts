import { posix } from "node:path";
import { z } from "zod";
import { PaddockError } from "../../../errors/error.ts";
import type { SandboxFiles } from "../../../sandbox/files.ts";
import { watchClient } from "../../http/connection.ts";
import { guessType } from "../../http/file-types.ts";
import type { Server } from "../../http/server-services.ts";
import { sendStream } from "../../http/streams.ts";
import { showTime } from "../../http/times.ts";
import { ACCESS_DENIED, isOwner } from "../request/access-rules.ts";
import { type AgentAsked, assertHere, findVisible } from "../request/find.ts";
import { FILES } from "../request/paths.ts";
import { AgentPath, FileListQuery, FilePath } from "../request/query-schemas.ts";
import { callFiles, type FileParts, holdFiles } from "./file-calls.ts";
import { assertReadable, checkPath } from "./file-paths.ts";
import { MAX_READ_BYTES, streamFile } from "./file-stream.ts";

type FileEntry = Awaited<ReturnType<SandboxFiles["stat"]>>;

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 500;
/** A folder with more entries is listed in part, and says so. */
const MAX_ENTRIES = 20_000;
const tags = ["files"];
const config = { access: "read", requestMs: 150_000 } as const;

const Entry = z.object({ kind: z.string(), size: z.int(), mode: z.string(), mtime: z.string() });
const Listing = z.object({
  entries: z.array(Entry.extend({ name: z.string() })),
  offset: z.int(),
  limit: z.int(),
  next_offset: z.int().nullable(),
  total: z.int(),
  /** Only when there are more entries than were counted. */
  truncated: z.literal(true).optional(),
});
const Metadata = Entry.extend({ link_target: z.string().optional() });

export function registerFileReads(server: Server, parts: FileParts): void {
  const list = { tags, summary: "List a folder below /agent", querystring: FileListQuery, response: { 200: Listing } };
  server.get(`${FILES}/list`, { schema: { ...list, params: AgentPath }, config }, (request, reply) =>
    listFolder(parts, request, ".", request.query, watchClient(reply)),
  );
  server.get(`${FILES}/list/*`, { schema: { ...list, params: FilePath }, config }, (request, reply) => {
    const path = request.params["*"] === "" ? "." : checkPath(request.params["*"]);
    return listFolder(parts, request, path, request.query, watchClient(reply));
  });

  const stat = { tags, summary: "What lies at a path", params: FilePath, response: { 200: Metadata } };
  server.get(`${FILES}/metadata/*`, { schema: stat, config }, async (request, reply) => {
    const path = checkPath(request.params["*"]);
    const agent = await findReadable(parts, request, path);
    const caller = { agent, principal: request.principal, gone: watchClient(reply) };
    const entry = await callFiles(parts, caller, (files) => files.stat(path));
    const target = entry.type === "symlink" && entry.target !== null ? { link_target: entry.target } : {};
    return { ...describeEntry(entry), ...target };
  });

  const bytes = z.string().describe("The file's bytes");
  const read = { tags, summary: "Read a file of at most 25 MiB", params: FilePath, response: { 200: bytes } };
  server.get(`${FILES}/read/*`, { schema: read, config, exposeHeadRoute: false }, async (request, reply) => {
    const path = checkPath(request.params["*"]);
    const agent = await findReadable(parts, request, path);
    const caller = { agent, principal: request.principal, gone: watchClient(reply) };
    const { stream, size } = await holdFiles(parts, caller, async (files, slot) => {
      if (!isOwner(agent, request.principal)) assertNoLink(await files.stat(path));
      const { size } = await files.readTo(path, () => undefined, { length: 0 });
      if (size > MAX_READ_BYTES) throw new PaddockError("too_large", `file too large (${size} bytes > 25MB)`);
      return { stream: streamFile(files, path, size, slot), size };
    });
    reply.type(guessType(path)).header("content-length", size).header("x-ractor-file-size", size);
    reply.header("cache-control", "no-store").header("x-content-type-options", "nosniff");
    return sendStream(reply, stream);
  });
}

async function findReadable(parts: FileParts, request: AgentAsked, path: string) {
  const agent = await findVisible(parts, request);
  assertReadable(agent, request.principal, path);
  await assertHere(parts, agent);
  return agent;
}

/** A link may lead to what a stranger may not read. */
function assertNoLink({ type }: FileEntry): void {
  if (type === "symlink") throw new PaddockError("forbidden", ACCESS_DENIED);
}

async function listFolder(
  parts: FileParts,
  request: AgentAsked,
  path: string,
  { offset = 0, limit: asked = DEFAULT_LIMIT }: FileListQuery,
  gone: AbortSignal,
): Promise<z.infer<typeof Listing>> {
  const agent = await findVisible(parts, request);
  await assertHere(parts, agent);
  const caller = { agent, principal: request.principal, gone };
  const found = await callFiles(parts, caller, (files) => files.list(path, { depth: 1, limit: MAX_ENTRIES }));
  const limit = Math.min(MAX_LIMIT, asked);
  const sorted = sortByName(found.entries);
  const total = sorted.length;
  const entries = sorted.slice(offset, offset + limit).map(({ name, entry }) => ({ name, ...describeEntry(entry) }));
  const end = offset + entries.length;
  const more = found.truncated ? { truncated: true as const } : {};
  return { entries, offset, limit, next_offset: end < total && entries.length > 0 ? end : null, total, ...more };
}

/** By lower-cased name; names that differ only in case keep one order. */
function sortByName(entries: readonly FileEntry[]): { readonly name: string; readonly entry: FileEntry }[] {
  const keyed = entries.map((entry) => {
    const name = posix.basename(entry.path);
    return { name, key: name.toLowerCase(), entry };
  });
  const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
  return keyed.sort((a, b) => compare(a.key, b.key) || compare(a.name, b.name));
}

function describeEntry({ type, size, mode, mtime_ms }: FileEntry): z.infer<typeof Entry> {
  return { kind: type, size, mode: (mode & 0o7777).toString(8).padStart(4, "0"), mtime: showTime(mtime_ms) };
}
