import { type IncomingMessage, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { getCACertificates } from "node:tls";
import type { Fetched } from "./index-hosts.ts";

const TIMEOUT_MS = 10_000;
const MAX_BYTES = 16 * 1024 * 1024;
const MAX_REDIRECTS = 4;

export interface FetchOptions {
  readonly accept: string;
  /** PEM text of certificate authorities beside the system's and Node's own. */
  readonly ca?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * A small GET for registry pages: bounded in time, size and redirects; credentials in the URL go into a header of the
 * first host only.
 */
export async function fetchText(url: string, options: FetchOptions): Promise<Fetched> {
  const visited: string[] = [];
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  const signal = options.signal ? AbortSignal.any([options.signal, timeout]) : timeout;
  const first = new URL(url);
  const credentials = readCredentials(first);
  first.username = "";
  first.password = "";
  for (let current = first.href; visited.length <= MAX_REDIRECTS; ) {
    visited.push(current);
    const isFirstHost = new URL(current).host === first.host;
    const response = await get(current, options, signal, isFirstHost ? credentials : undefined);
    const location = response.headers.location;
    if (response.statusCode === 200) {
      const text = await readText(response);
      return { url: current, contentType: response.headers["content-type"] ?? "", text, visited };
    }
    response.destroy();
    if (!isRedirect(response.statusCode) || location === undefined) throw new Error(`status ${response.statusCode}`);
    current = new URL(location, current).href;
  }
  throw new Error("too many redirects");
}

async function get(
  url: string,
  { accept, ca }: FetchOptions,
  signal: AbortSignal,
  auth: string | undefined,
): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const target = new URL(url);
  if (!/^https?:$/.test(target.protocol)) throw new Error(`unsupported protocol ${target.protocol}`);
  const headers = { accept, "user-agent": "paddock" };
  const common = { headers, signal, ...(auth === undefined ? {} : { auth }) };
  const { protocol, hostname, port, pathname, search } = target;
  const place = {
    protocol,
    hostname: hostname.replace(/^\[|\]$/g, ""),
    port,
    path: `${pathname}${search}`,
    agent: false as const,
  };
  const request =
    protocol === "https:"
      ? requestHttps({ ...place, ...common, ca: listAuthorities(ca) })
      : requestHttp({ ...place, ...common });
  request.once("response", resolve).once("error", reject).end();
  return await promise;
}

function listAuthorities(ca: string | undefined): string[] {
  return [...getCACertificates("default"), ...getCACertificates("system"), ...(ca === undefined ? [] : [ca])];
}

function readCredentials({ username, password }: URL): string | undefined {
  return username === "" ? undefined : `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
}

async function readText(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BYTES) throw new Error(`more than ${MAX_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

const isRedirect = (status: number | undefined): boolean => [301, 302, 303, 307, 308].includes(status ?? 0);
