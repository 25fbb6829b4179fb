import { formatIp, parseIp } from "./addresses.ts";

/** A host and port in the only spelling that rules, records and the dialler see. */
export interface Authority {
  /** Lower-case name without trailing dot, or a canonical IP without brackets. */
  readonly host: string;
  readonly port: number;
}

export type Parsed<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly reason: string };

const fail = (reason: string): { ok: false; reason: string } => ({ ok: false, reason });
const MAX_NAME_LENGTH = 253;
const LABEL = /^[a-z0-9_-]{1,63}$/;
const PORT = /^[1-9][0-9]{0,4}$/;

/**
 * The canonical form of a DNS name. The last label must hold a letter and may not be a hexadecimal number, because
 * resolvers read `2130706433`, `0x7f.1` and `0x7f000001` as addresses.
 */
export function canonicaliseName(text: string): Parsed<string> {
  if (!isVisibleAscii(text))
    return fail("a host holds visible ASCII characters only (write an international name as xn--)");
  const name = text.toLowerCase().replace(/\.$/, "");
  if (name.length > MAX_NAME_LENGTH) return fail(`a host has at most ${MAX_NAME_LENGTH} characters`);
  const labels = name.split(".");
  if (!labels.every((label) => LABEL.test(label))) {
    return fail("a host is made of labels of 1 to 63 letters, digits, - and _ between dots");
  }
  const last = labels.at(-1) ?? "";
  if (!/[a-z]/.test(last) || /^0x[0-9a-f]*$/.test(last)) return fail("the last label of a host is not a number");
  return { ok: true, value: name };
}

/** `host`, `host:port`, `1.2.3.4:port` or `[v6]:port`; without `defaultPort` the port must be written. */
export function parseAuthority(text: string, defaultPort?: number): Parsed<Authority> {
  const bracketed = /^\[([^\]]*)\](.*)$/s.exec(text);
  const colon = bracketed ? -1 : text.indexOf(":");
  const hostText = bracketed?.[1] ?? (colon < 0 ? text : text.slice(0, colon));
  const portText = bracketed?.[2] ?? (colon < 0 ? "" : text.slice(colon));
  const host = bracketed ? canonicaliseIpv6(hostText) : canonicaliseHost(hostText);
  if (!host.ok) return host;
  const port = parsePort(portText, defaultPort);
  return port.ok ? { ok: true, value: { host: host.value, port: port.value } } : port;
}

function canonicaliseHost(text: string): Parsed<string> {
  const ip = parseIp(text);
  return ip?.family === 4 ? { ok: true, value: formatIp(ip) } : canonicaliseName(text);
}

function canonicaliseIpv6(text: string): Parsed<string> {
  const ip = parseIp(text);
  return ip?.family === 6 ? { ok: true, value: formatIp(ip) } : fail("brackets hold an IPv6 address without zone");
}

function parsePort(text: string, defaultPort: number | undefined): Parsed<number> {
  if (text === "" && defaultPort !== undefined) return { ok: true, value: defaultPort };
  const digits = text.startsWith(":") ? text.slice(1) : "";
  if (!PORT.test(digits) || Number(digits) > 65_535) return fail("a port is a number from 1 to 65535");
  return { ok: true, value: Number(digits) };
}

function isVisibleAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x21 || code > 0x7e) return false;
  }
  return true;
}

/** True for a canonical host that is an IP literal. */
export const isIpHost = (host: string): boolean => parseIp(host) !== undefined;

/** `host:port`, with brackets around IPv6. */
export const formatAuthority = ({ host, port }: Authority): string => `${formatHost(host)}:${port}`;

/** A host as it stands in URLs and Host headers. */
export const formatHost = (host: string): string => (host.includes(":") ? `[${host}]` : host);
