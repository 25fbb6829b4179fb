import { randomUUID } from "node:crypto";
import { posix } from "node:path";
import { Readable } from "node:stream";
import { z } from "zod";
import { PaddockError } from "../../../errors/error.ts";
import { Deadline } from "../../../lib/deadline.ts";
import type { SandboxFiles, WriteResult } from "../../../sandbox/files.ts";
import { allowEmptyBody } from "../../http/bodies.ts";
import { watchClient } from "../../http/connection.ts";
import type { Server } from "../../http/server-services.ts";
import { findOwned } from "../request/find.ts";
import { FILES } from "../request/paths.ts";
import { FilePath } from "../request/query-schemas.ts";
import { callFiles, type FileParts, holdFiles, nameFailure } from "./file-calls.ts";
import { checkPath } from "./file-paths.ts";
import { limitBody, MAX_WRITE_BYTES, tooLarge } from "./file-stream.ts";

const UPLOAD_MS = 600_000;
const DEFAULT_MODE = 0o644;
/** On the file system of the workspace, so that a whole file takes its place at once. */
const UPLOADS = ".paddock/uploads";
const tags = ["files"];

const Deleted = z.object({ deleted: z.literal(true), path: z.string() });
const Written = z.object({
  written: z.literal(true),
  path: z.string(),
  bytes: z.int(),
  sha256: z.string(),
  created: z.boolean(),
});

export function registerFileWrites(server: Server, parts: FileParts): void {
  const remove = { tags, summary: "Delete a file", params: FilePath, response: { 200: Deleted } };
  const removing = { schema: remove, config: { access: "write" as const }, onRequest: allowEmptyBody };
  server.delete(`${FILES}/delete/*`, removing, async (request, reply) => {
    const path = checkPath(request.params["*"]);
    const agent = await findOwned(parts, request);
    await callFiles(parts, { agent, principal: request.principal, gone: watchClient(reply) }, async (files) => {
      const { type } = await files.stat(path);
      if (type === "dir") throw new PaddockError("invalid_request", "Path is a directory");
      if (type === "other") throw new PaddockError("invalid_request", "Path is not a regular file");
      await files.remove(path);
    });
    return { deleted: true as const, path };
  });

  // Bodies of uploads are streams of any type; the parsers of the other routes stay as they are.
  server.register((plain, _options, done) => {
    const scope = plain as unknown as Server;
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser("*", (_request, payload, parsed) => parsed(null, payload));
    registerUpload(scope, parts);
    done();
  });
}

function registerUpload(server: Server, parts: FileParts): void {
  const summary = "Write a file of at most 100 MiB; its folders are made, its content is replaced as a whole";
  const schema = { tags, summary, params: FilePath, response: { 200: Written } };
  const config = { access: "write", requestMs: UPLOAD_MS } as const;
  server.put(`${FILES}/write/*`, { schema, config, bodyLimit: MAX_WRITE_BYTES }, async (request, reply) => {
    const path = checkPath(request.params["*"]);
    const agent = await findOwned(parts, request);
    const { body } = request;
    const gone = watchClient(reply);
    using deadline = Deadline.after(UPLOAD_MS, gone);
    deadline.signal.addEventListener("abort", () => request.raw.destroy(), { once: true });
    try {
      if (Number(request.headers["content-length"] ?? 0) > MAX_WRITE_BYTES) throw tooLarge();
      const caller = { agent, principal: request.principal, gone };
      const held = await holdFiles(parts, caller, async (files, slot) => ({ files, slot }));
      using _ = held.slot;
      const written = await replaceFile(held.files, path, body instanceof Readable ? limitBody(body) : Buffer.alloc(0));
      return { written: true as const, path, ...written };
    } catch (error) {
      // The rest of the body is not read.
      reply.header("connection", "close");
      throw await nameFailure(parts, agent, error);
    }
  });
}

/** Readers see the old content or the new one; after a failure the old one is still there. */
async function replaceFile(
  files: SandboxFiles,
  path: string,
  content: Buffer | AsyncIterable<Buffer>,
): Promise<Pick<WriteResult, "bytes" | "sha256" | "created">> {
  const mode = await readMode(files, path);
  const folder = posix.dirname(path);
  if (folder !== ".") await files.makeFolder(folder);
  const upload = `${UPLOADS}/${randomUUID()}`;
  try {
    const { bytes, sha256 } = await files.write(upload, content, { mode: mode ?? DEFAULT_MODE, exclusive: true });
    await files.move(upload, path);
    return { bytes, sha256, created: mode === undefined };
  } catch (error) {
    await files.remove(upload).catch(() => undefined);
    throw error;
  }
}

/** Of the file that is there; undefined when there is none. */
async function readMode(files: SandboxFiles, path: string): Promise<number | undefined> {
  try {
    const { type, mode } = await files.stat(path);
    if (type === "dir") throw new PaddockError("invalid_request", "Path is a directory");
    return type === "file" ? mode & 0o777 : DEFAULT_MODE;
  } catch (error) {
    if (error instanceof PaddockError && error.context["reason"] === "not_found") return undefined;
    throw error;
  }
}
