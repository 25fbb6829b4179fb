import { type IncomingMessage, request as sendRequest } from "node:http";
import type { Duplex } from "node:stream";
import { PaddockError } from "../errors/error.ts";
import { raceSignal } from "../lib/deadline.ts";
import type { HttpReply } from "./http-reply.ts";
import { decodeText } from "./text.ts";

export interface PortRequest {
  readonly method: string;
  /** Path with query. */
  readonly path: string;
  readonly host: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer | undefined;
  readonly maxBytes: number;
}

/** Why no answer came: the server is not up, closed the connection, or speaks no HTTP. */
export interface PortFailure {
  readonly failure: "refused" | "reset" | "protocol";
  readonly message: string;
}

const MAX_HEADER_BYTES = 64 * 1024;

/**
 * One HTTP exchange over a stream that `connect` opens. Redirects are answers like any other. Throws what `signal`
 * aborts with.
 */
export async function exchangeOverPort(
  connect: () => Promise<Duplex>,
  request: PortRequest,
  signal: AbortSignal,
): Promise<HttpReply | PortFailure> {
  const connecting = connect();
  try {
    await raceSignal(connecting, signal);
  } catch (error) {
    connecting.then(
      (late) => late.destroy(),
      () => undefined,
    );
    if (isClosedPort(error)) return { failure: "refused", message: error.message };
    throw error;
  }
  const stream = await connecting;
  try {
    return await exchange(stream, request, signal);
  } catch (thrown) {
    signal.throwIfAborted();
    return explain(thrown);
  } finally {
    stream.destroy();
  }
}

/** How `connect` says that nothing listens there. */
function isClosedPort(error: unknown): error is PaddockError {
  return error instanceof PaddockError && (error.code === "not_found" || error.code === "file_error");
}

async function exchange(stream: Duplex, request: PortRequest, signal: AbortSignal): Promise<HttpReply> {
  const response = await send(stream, request, signal);
  const { bytes, truncated } = await collect(response, request.maxBytes);
  const { content, encoding } = decodeText(bytes, "auto", truncated);
  return {
    status: response.statusCode ?? 0,
    reason: (response.statusMessage ?? "").slice(0, 256),
    headers: pairs(response.rawHeaders),
    body: content,
    encoding,
    bytes: bytes.length,
    truncated,
  };
}

function send(stream: Duplex, request: PortRequest, signal: AbortSignal): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const sent = sendRequest({
    createConnection: () => stream,
    method: request.method,
    path: request.path,
    headers: { ...makeHeaders(request), connection: "close" },
    maxHeaderSize: MAX_HEADER_BYTES,
    setHost: false,
    signal,
  });
  sent.on("response", resolve);
  sent.on("error", reject);
  // An upgrade or a CONNECT answer would leave the promise open.
  sent.on("upgrade", (_response, socket) => {
    socket.destroy();
    reject(new Error("the server switched protocols"));
  });
  sent.end(request.body);
  return promise;
}

function makeHeaders(request: PortRequest): Record<string, string | number> {
  const headers: Record<string, string | number> = { host: request.host };
  for (const [name, value] of Object.entries(request.headers)) headers[name.toLowerCase()] = value;
  const hasBody = request.body !== undefined || ["POST", "PUT", "PATCH"].includes(request.method);
  return hasBody ? { ...headers, "content-length": request.body?.length ?? 0 } : headers;
}

async function collect(response: IncomingMessage, maxBytes: number): Promise<{ bytes: Buffer; truncated: boolean }> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > maxBytes) break;
  }
  return { bytes: Buffer.concat(chunks).subarray(0, maxBytes), truncated: size > maxBytes };
}

function pairs(raw: readonly string[]): (readonly [string, string])[] {
  const result: (readonly [string, string])[] = [];
  for (let index = 0; index + 1 < raw.length; index += 2)
    result.push([(raw[index] ?? "").toLowerCase(), raw[index + 1] ?? ""]);
  return result;
}

function explain(thrown: unknown): PortFailure {
  if (thrown instanceof PaddockError) throw thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  const code = thrown instanceof Error && "code" in thrown ? String(thrown.code) : "";
  return { failure: code.startsWith("HPE_") ? "protocol" : "reset", message };
}
