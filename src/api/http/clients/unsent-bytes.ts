import { once } from "node:events";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { PaddockError } from "../../../errors/error.ts";
import { MIB } from "../../../model/units.ts";
import { readNetwork } from "./connections.ts";
/**
 * Answers that wait for their readers may take so much of the server's memory: those to one principal, and to one
 * network without a token.
 */
export const MAX_UNSENT_BYTES = 128 * MIB;
const MAX_UNSENT_BYTES_OF_STRANGERS = 32 * MIB;
/** What is smaller always gets out, errors among it. */
const SMALL_BYTES = 16 * 1024;

type RawReply = FastifyReply["raw"];

/** What the caller of a request has been answered and has not yet read. */
export interface Unsent {
  /** Throws `rate_limited` when so many bytes more are too many. */
  assertRoom(bytes: number): void;
  /** Resolves when this request's answer takes more, or will never again. */
  drained(): Promise<void>;
}

/**
 * Bounds the bytes of answers that are made and not yet sent, by caller: what only reads is refused when its answer is
 * made, what changes something before it does.
 */
export function boundUnsentBytes(server: Pick<FastifyInstance, "addHook" | "decorateRequest">): void {
  const open = new Map<string, Set<RawReply>>();
  server.decorateRequest("unsent");
  server.addHook("onRequest", (request, { raw }, done) => {
    request.unsent = {
      assertRoom: (bytes) => assertRoom(open.get(readCaller(request)), request, bytes),
      drained: () => awaitDrained(raw),
    };
    done();
  });
  server.addHook("preValidation", async (request, { raw }) => {
    // Its own answer finds room, whatever it is.
    if (!isRead(request)) request.unsent.assertRoom(limitOf(request) / 2);
    remember(open, readCaller(request), raw);
  });
  server.addHook("onSend", async (request, _reply, payload) => {
    const isWhole = typeof payload === "string" || Buffer.isBuffer(payload);
    if (isWhole && isRead(request)) request.unsent.assertRoom(Buffer.byteLength(payload));
  });
}

const isRead = ({ method }: FastifyRequest): boolean => method === "GET" || method === "HEAD";

const readCaller = ({ principal, raw }: FastifyRequest): string =>
  principal ? `${principal.type} ${principal.name}` : readNetwork(raw.socket.remoteAddress);

const limitOf = ({ principal }: FastifyRequest): number =>
  principal ? MAX_UNSENT_BYTES : MAX_UNSENT_BYTES_OF_STRANGERS;

function remember(open: Map<string, Set<RawReply>>, caller: string, raw: RawReply): void {
  const replies = open.get(caller) ?? new Set();
  open.set(caller, replies.add(raw));
  raw.once("close", () => {
    replies.delete(raw);
    if (replies.size === 0 && open.get(caller) === replies) open.delete(caller);
  });
}

/** A single answer always goes out, however large it is. */
function assertRoom(replies: ReadonlySet<RawReply> = new Set(), request: FastifyRequest, bytes: number): void {
  if (bytes < SMALL_BYTES) return;
  let unsent = 0;
  for (const { writableLength } of replies) unsent += writableLength;
  if (unsent === 0 || unsent + bytes <= limitOf(request)) return;
  throw new PaddockError("rate_limited", "Too many answers wait to be read", {
    hint: "Read the answers to earlier requests first, or ask for fewer at the same time.",
  });
}

async function awaitDrained(raw: RawReply): Promise<void> {
  if (!raw.writableNeedDrain) return;
  const done = new AbortController();
  const events = ["drain", "close"].map((name) => once(raw, name, { signal: done.signal }));
  for (const event of events) event.catch(() => undefined);
  await Promise.race(events).finally(() => done.abort());
}
