import { isIPv4, isIPv6 } from "node:net";
import { networkInterfaces } from "node:os";

/** An address as a number, so that no spelling of it can slip past a comparison. */
export interface IpValue {
  readonly family: 4 | 6;
  readonly bits: bigint;
}

interface DeniedRange extends IpValue {
  readonly text: string;
  readonly shift: bigint;
}

/** Not globally routable, or able to carry an IPv4 address that is not (mapped, compatible, NAT64, 6to4, Teredo). */
const DENIED = [
  ...["0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24"],
  ...["192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"],
  ...["224.0.0.0/3", "168.63.129.16/32"],
  ...["::/96", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32"],
  ...["2002::/16", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"],
].map(parseRange);

function parseRange(text: string): DeniedRange {
  const [base = "", length = ""] = text.split("/");
  const value = parseIp(base) as IpValue;
  const shift = BigInt((value.family === 4 ? 32 : 128) - Number(length));
  return { family: value.family, bits: value.bits >> shift, shift, text };
}

/** The value of a strict IPv4 or IPv6 literal (no zone, no brackets, no octal); undefined for anything else. */
export function parseIp(text: string): IpValue | undefined {
  if (isIPv4(text)) return { family: 4, bits: readIpv4(text) };
  if (isIPv6(text) && !text.includes("%")) return { family: 6, bits: readIpv6(text) };
  return undefined;
}

function readIpv4(text: string): bigint {
  return text.split(".").reduce((bits, part) => (bits << 8n) | BigInt(part), 0n);
}

function readIpv6(text: string): bigint {
  const [head = "", tail] = text.split("::");
  const left = readGroups(head);
  const right = tail === undefined ? [] : readGroups(tail);
  const zeros = Array.from({ length: 8 - left.length - right.length }, () => 0n);
  return [...left, ...zeros, ...right].reduce((bits, group) => (bits << 16n) | group, 0n);
}

function readGroups(text: string): bigint[] {
  if (text === "") return [];
  return text.split(":").flatMap((group) => {
    if (!group.includes(".")) return [BigInt(`0x${group}`)];
    const value = readIpv4(group);
    return [value >> 16n, value & 0xffffn];
  });
}

/** The one spelling of an address: dotted IPv4, or eight IPv6 groups compressed as RFC 5952 asks (never dotted). */
export function formatIp(value: IpValue): string {
  if (value.family === 4) return [24n, 16n, 8n, 0n].map((shift) => (value.bits >> shift) & 255n).join(".");
  const groups = Array.from({ length: 8 }, (_, i) => (value.bits >> BigInt(112 - 16 * i)) & 0xffffn);
  return new URL(`http://[${groups.map((group) => group.toString(16)).join(":")}]/`).hostname.slice(1, -1);
}

/** True when both texts are the same address; an IPv4-mapped IPv6 text equals its IPv4 form. */
export function isSameIp(left: string, right: string): boolean {
  const [a, b] = [left, right].map((text) => unmap(parseIp(text)));
  return a !== undefined && b !== undefined && a.family === b.family && a.bits === b.bits;
}

function unmap(value: IpValue | undefined): IpValue | undefined {
  if (value?.family !== 6 || value.bits >> 32n !== 0xffffn) return value;
  return { family: 4, bits: value.bits & 0xffff_ffffn };
}

/** Addresses of this machine's interfaces, as they are now. */
export function listOwnAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((list) =>
    (list ?? []).map((entry) => entry.address.split("%")[0] ?? ""),
  );
}

/** Why an address may not be dialled for a guest, or undefined when it is public. */
export function findDenial(ip: string, own: readonly string[] = listOwnAddresses()): string | undefined {
  const value = parseIp(ip);
  if (!value) return "not an address";
  const range = DENIED.find((entry) => entry.family === value.family && value.bits >> entry.shift === entry.bits);
  if (range) return range.text;
  return own.some((address) => isSameIp(address, ip)) ? "an address of this host" : undefined;
}

export const isDeniedAddress = (ip: string, own?: readonly string[]): boolean => findDenial(ip, own) !== undefined;
