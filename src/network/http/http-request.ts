import { type Authority, formatHost, type Parsed, parseAuthority } from "../address/authority.ts";
import { badRequest, Refusal } from "../refusal.ts";
import { type Framing, frameRequest, keepEndToEnd, renderFraming, renderHead } from "./http-framing.ts";
import { listMembers, listValues, type RequestHead } from "./http-head.ts";

/**
 * What a guest asks of the proxy. The authority may still be invalid: that is a denial with a record, not bad syntax.
 */
export type ProxyRequest = ConnectRequest | PlainRequest;

export interface ConnectRequest {
  readonly kind: "connect";
  readonly authorityText: string;
  readonly authority: Parsed<Authority>;
}

export interface PlainRequest {
  readonly kind: "plain";
  readonly authorityText: string;
  readonly authority: Parsed<Authority>;
  readonly method: string;
  readonly path: string;
  readonly framing: Framing;
  /** The guest reads HTTP/1.1, so chunks and interim answers reach it. */
  readonly isHttp11: boolean;
  readonly keepAlive: boolean;
  readonly head: RequestHead;
}

const ABSOLUTE_FORM = /^http:\/\/([^/?]*)(.*)$/is;
const PATH = /^[!-~]*$/;
const HTTP_PORT = 80;

export function interpretRequest(head: RequestHead): ProxyRequest {
  const hosts = listValues(head.headers, "host");
  if (hosts.length > 1) throw badRequest("Host is given twice");
  if (hosts.length === 0 && head.minorVersion === 1) throw badRequest("Host is missing");
  return head.method === "CONNECT" ? interpretConnect(head) : interpretPlain(head);
}

function interpretConnect(head: RequestHead): ConnectRequest {
  const framing = frameRequest(head);
  if (framing.kind === "chunked" || (framing.kind === "length" && framing.bytes > 0)) {
    throw badRequest("CONNECT has no body");
  }
  return { kind: "connect", authorityText: head.target, authority: parseAuthority(head.target) };
}

function interpretPlain(head: RequestHead): PlainRequest {
  const match = ABSOLUTE_FORM.exec(head.target);
  if (!match) throw badRequest(describeTarget(head.target), "Send `CONNECT host:443` or `GET http://host/path`.");
  const [, authorityText = "", rest = ""] = match;
  if (!PATH.test(rest) || rest.includes("#")) throw badRequest("the URL holds characters that must be percent-encoded");
  if (listValues(head.headers, "upgrade").length > 0)
    throw new Refusal(501, "denied", "Upgrade is not supported over plain HTTP");
  const isHttp11 = head.minorVersion === 1;
  return {
    kind: "plain",
    authorityText,
    authority: parseAuthority(authorityText, HTTP_PORT),
    method: head.method,
    path: rest.startsWith("/") ? rest : `/${rest}`,
    framing: frameRequest(head),
    isHttp11,
    keepAlive: isHttp11 && !listMembers(head.headers, "connection").includes("close"),
    head,
  };
}

function describeTarget(target: string): string {
  return /^https:/i.test(target) ? "https needs a CONNECT tunnel" : "this is a proxy: the request names no http:// URL";
}

/**
 * The request as the upstream sees it: origin form, one Host taken from the URL, nothing about the guest or the proxy.
 */
export function renderRequest(request: PlainRequest, { host, port }: Authority): Buffer {
  const hostValue = port === HTTP_PORT ? formatHost(host) : `${formatHost(host)}:${port}`;
  return renderHead(`${request.method} ${request.path} HTTP/1.1`, [
    ["Host", hostValue],
    ...keepEndToEnd(request.head.headers),
    ...renderFraming(request.framing),
  ]);
}
