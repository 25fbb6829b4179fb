import { createHash, randomBytes, timingSafeEqual } from "node:crypto";

const HEADER = /^Bearer (pdk_[A-Za-z0-9_-]{43})$/;

/** 256 random bits. */
export const makeToken = (): string => `pdk_${randomBytes(32).toString("base64url")}`;

/** What is kept of a token: 64 hex digits. The token has 256 random bits, so no salt or slow hash is needed. */
export const hashToken = (token: string): string => createHash("sha256").update(token).digest("hex");

/** The token of a header `Authorization: Bearer <token>`: that word, one space, nothing else. */
export const readBearer = (authorization: string | undefined): string | undefined =>
  authorization === undefined ? undefined : HEADER.exec(authorization)?.[1];

/** In constant time. */
export function isSameHash(one: string, other: string): boolean {
  const [left, right] = [Buffer.from(one), Buffer.from(other)];
  return left.length === right.length && timingSafeEqual(left, right);
}
