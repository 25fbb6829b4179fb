import type { Socket } from "node:net";
import type { ConnectionMeter } from "../account/connection-meter.ts";
import type { Authority } from "../address/authority.ts";
import type { TrustedUpstream } from "../address/trusted-upstreams.ts";
import { ByteReader } from "../http/byte-reader.ts";

/** One open upstream connection with its account. */
export interface UpstreamLink {
  readonly authority: Authority;
  readonly trusted: TrustedUpstream | undefined;
  readonly socket: Socket;
  readonly meter: ConnectionMeter;
  /** For plain HTTP only; a tunnel never reads through it. */
  reader(): ByteReader;
  /** Plain HTTP answers that came over it. */
  answers: number;
}

export function makeLink(
  authority: Authority,
  trusted: TrustedUpstream | undefined,
  socket: Socket,
  meter: ConnectionMeter,
): UpstreamLink {
  let reader: ByteReader | undefined;
  socket.once("close", () => meter.end());
  return {
    authority,
    trusted,
    socket,
    meter,
    reader: () => (reader ??= new ByteReader(socket, (bytes) => meter.received(bytes))),
    answers: 0,
  };
}

/** True while another request to the same place may use it: open, silent since its last answer, and trusted alike. */
export function isReusable(link: UpstreamLink, authority: Authority, trusted: TrustedUpstream | undefined): boolean {
  const isSamePlace = link.authority.host === authority.host && link.authority.port === authority.port;
  const isQuiet = !link.socket.destroyed && !link.reader().isOver && link.reader().queuedBytes === 0;
  return isSamePlace && isQuiet && isSameTrust(link.trusted, trusted);
}

export function isSameTrust(left: TrustedUpstream | undefined, right: TrustedUpstream | undefined): boolean {
  return (left === undefined) === (right === undefined) && left?.address === right?.address;
}
