import { badRequest, badUpstream, type Refusal } from "../refusal.ts";
import { type Header, listMembers, listValues, type RequestHead, type ResponseHead } from "./http-head.ts";

/** How the end of a body is known. */
export type Framing =
  | { readonly kind: "none" | "chunked" | "close" }
  | { readonly kind: "length"; readonly bytes: number };

const NONE: Framing = { kind: "none" };
const LENGTH = /^[0-9]{1,15}$/;

/** A request without length has no body; anything two parsers could read differently is refused. */
export function frameRequest(head: RequestHead): Framing {
  const framing = readFraming(head, badRequest);
  if (framing?.kind === "chunked" && head.minorVersion === 0) throw badRequest("HTTP/1.0 has no Transfer-Encoding");
  return framing ?? NONE;
}

export function frameResponse(head: ResponseHead, requestMethod: string): Framing {
  const framing = readFraming(head, badUpstream);
  if (requestMethod === "HEAD" || head.status < 200 || head.status === 204 || head.status === 304) return NONE;
  return framing ?? { kind: "close" };
}

function readFraming(head: RequestHead | ResponseHead, refuse: (reason: string) => Refusal): Framing | undefined {
  const encodings = listValues(head.headers, "transfer-encoding");
  const lengths = listValues(head.headers, "content-length");
  if (encodings.length > 0 && lengths.length > 0) throw refuse("Transfer-Encoding and Content-Length stand together");
  if (encodings.length > 1 || lengths.length > 1) throw refuse("the body's framing is given twice");
  const [encoding, length] = [encodings[0], lengths[0]];
  if (encoding !== undefined) {
    if (encoding.toLowerCase() !== "chunked") throw refuse("the only Transfer-Encoding is chunked");
    return { kind: "chunked" };
  }
  if (length === undefined) return undefined;
  if (!LENGTH.test(length)) throw refuse("Content-Length is not a number");
  return { kind: "length", bytes: Number(length) };
}

const HOP_BY_HOP = new Set([
  ...["connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "http2-settings"],
  ...["host", "content-length", "forwarded", "via"],
]);
const DROPPED_PREFIXES = ["proxy-", "x-forwarded-"];

/** Fields that go end to end. Framing and Host are written anew by whoever serialises the head. */
export function keepEndToEnd(headers: readonly Header[]): Header[] {
  const nominated = new Set(listMembers(headers, "connection"));
  return headers.filter(([name]) => {
    const key = name.toLowerCase();
    const isDropped = HOP_BY_HOP.has(key) || DROPPED_PREFIXES.some((prefix) => key.startsWith(prefix));
    return !isDropped && !nominated.has(key);
  });
}

/** A head as bytes; values keep the Latin-1 bytes they were parsed from. */
export function renderHead(startLine: string, headers: readonly Header[]): Buffer {
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`${startLine}\r\n${lines.join("")}\r\n`, "latin1");
}

export function renderFraming(framing: Framing): Header[] {
  if (framing.kind === "length") return [["Content-Length", String(framing.bytes)]];
  return framing.kind === "chunked" ? [["Transfer-Encoding", "chunked"]] : [];
}
