import { BodyError, encodeData, encodeEnd, readBody, readHead, writeBytes } from "../http/http-body.ts";
import { type Framing, frameResponse, keepEndToEnd, renderFraming, renderHead } from "../http/http-framing.ts";
import {
  type Header,
  listMembers,
  listValues,
  parseResponseHead,
  RESPONSE_LIMITS,
  type ResponseHead,
} from "../http/http-head.ts";
import { type PlainRequest, renderRequest } from "../http/http-request.ts";
import { badRequest, badUpstream } from "../refusal.ts";
import { reachUpstream } from "./connect-upstream.ts";
import type { GuestSession } from "./session.ts";
import type { UpstreamLink } from "./upstream-connection.ts";

const MAX_INTERIM_ANSWERS = 16;
/** Methods that may be sent again when a kept-alive upstream turns out to be gone. */
const REPEATABLE = new Set(["GET", "HEAD", "OPTIONS"]);

/** The upstream closed a kept-alive connection in the moment it was used again. */
class StaleLink extends Error {}

/** One plain HTTP request and its answer; true when the guest's connection can carry another. */
export async function exchangePlain(session: GuestSession, request: PlainRequest): Promise<boolean> {
  try {
    return await exchangeOnce(session, request);
  } catch (thrown) {
    if (!(thrown instanceof StaleLink)) throw thrown;
    session.dropLink();
    return await exchangeOnce(session, request);
  }
}

async function exchangeOnce(session: GuestSession, request: PlainRequest): Promise<boolean> {
  const link = await reachUpstream(session, request);
  if (link.answers === 0) link.meter.accept();
  const upload = startUpload(session, request, link);
  const head = await readAnswerHead(session, request, link);
  link.answers += 1;
  const framing = frameAnswer(head, request);
  await forwardAnswer(session, request, link, head, framing);
  upload.isAbandoned = true;
  if (!upload.isWhole || !canKeepUpstream(head, framing)) session.dropLink();
  return upload.isWhole && request.keepAlive && !session.stream.destroyed;
}

interface Upload {
  isWhole: boolean;
  /** The answer is through: nobody waits for the rest of the request. */
  isAbandoned: boolean;
}

/** Sends the request while its answer is already awaited; a failure shows as a cut session. */
function startUpload(session: GuestSession, request: PlainRequest, link: UpstreamLink): Upload {
  const upload: Upload = { isWhole: false, isAbandoned: false };
  sendRequest(session, request, link).then(
    (isWhole) => {
      upload.isWhole = isWhole;
    },
    (thrown: unknown) => {
      const reason = thrown instanceof BodyError ? thrown.message : "the request body could not be read";
      if (!upload.isAbandoned) session.cut(badRequest(reason));
    },
  );
  return upload;
}

async function sendRequest(session: GuestSession, request: PlainRequest, link: UpstreamLink): Promise<boolean> {
  const send = async (bytes: Buffer): Promise<boolean> => {
    link.meter.sent(bytes.length);
    return await writeBytes(link.socket, bytes);
  };
  if (!(await send(renderRequest(request, link.authority)))) return false;
  for await (const data of readBody(session.reader, request.framing)) {
    if (!(await send(encodeData(request.framing, data)))) return false;
  }
  const end = encodeEnd(request.framing);
  return end ? await send(end) : true;
}

/** The final answer's head; interim ones (100, 103) go on to the guest. */
async function readAnswerHead(session: GuestSession, request: PlainRequest, link: UpstreamLink): Promise<ResponseHead> {
  for (let interim = 0; interim < MAX_INTERIM_ANSWERS; interim++) {
    const bytes = await readAnswerBytes(session, request, link);
    const head = parseResponseHead(bytes);
    if (head.status === 101) throw badUpstream("the upstream switched protocols unasked");
    if (head.status >= 200) return head;
    frameResponse(head, request.method);
    if (request.isHttp11) await writeBytes(session.stream, renderStatus(head, keepEndToEnd(head.headers)));
  }
  throw badUpstream("the upstream sent too many interim answers");
}

async function readAnswerBytes(session: GuestSession, request: PlainRequest, link: UpstreamLink): Promise<Buffer> {
  let isTouched = false;
  try {
    const bytes = await readHead(link.reader(), RESPONSE_LIMITS.bytes, () => (isTouched = true));
    if (bytes) return bytes;
  } catch (thrown) {
    if (!(thrown instanceof BodyError)) throw thrown;
    throw session.failure ?? badUpstream(`the upstream's answer is malformed: ${thrown.message}`);
  }
  if (session.failure) throw session.failure;
  const isRepeatable = REPEATABLE.has(request.method) && request.framing.kind === "none";
  if (link.answers > 0 && isRepeatable && !isTouched) throw new StaleLink();
  throw badUpstream("the upstream closed the connection without an answer");
}

interface AnswerFraming {
  readonly upstream: Framing;
  readonly guest: Framing;
}

/**
 * The guest gets a length where the upstream gave one, chunks where it can read them, and otherwise the connection's
 * end.
 */
function frameAnswer(head: ResponseHead, request: PlainRequest): AnswerFraming {
  const upstream = frameResponse(head, request.method);
  if (upstream.kind === "none" || upstream.kind === "length") return { upstream, guest: upstream };
  return { upstream, guest: { kind: request.isHttp11 ? "chunked" : "close" } };
}

async function forwardAnswer(
  session: GuestSession,
  request: PlainRequest,
  link: UpstreamLink,
  head: ResponseHead,
  framing: AnswerFraming,
): Promise<void> {
  session.phase = "answering";
  const headers = [...keepEndToEnd(head.headers), ...describeBody(head, framing.guest)];
  if (!request.keepAlive) headers.push(["Connection", "close"]);
  await writeBytes(session.stream, renderStatus(head, headers));
  for await (const data of readBody(link.reader(), framing.upstream)) {
    session.touch();
    if (!(await writeBytes(session.stream, encodeData(framing.guest, data)))) throw badUpstream("the guest left");
  }
  const end = encodeEnd(framing.guest);
  if (end) await writeBytes(session.stream, end);
}

/** Answers without body may still tell the length it would have. */
function describeBody(head: ResponseHead, guest: Framing): readonly Header[] {
  if (guest.kind !== "none" || head.status === 204) return renderFraming(guest);
  return listValues(head.headers, "content-length").map((value) => ["Content-Length", value] as const);
}

const renderStatus = (head: ResponseHead, headers: readonly Header[]): Buffer =>
  renderHead(`HTTP/1.1 ${head.status} ${head.phrase}`, headers);

function canKeepUpstream(head: ResponseHead, { upstream }: AnswerFraming): boolean {
  const saysClose = listMembers(head.headers, "connection").includes("close");
  return head.minorVersion === 1 && upstream.kind !== "close" && !saysClose;
}
