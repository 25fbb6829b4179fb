import { randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";
import { PaddockError } from "../errors/error.ts";
import { Semaphore } from "../lib/semaphore.ts";

const derive = promisify<string, Buffer, number, ScryptOptions, Buffer>(scrypt);

/** 32 MiB and three passes: about 0.2 s of one core per guess. */
const COST = { N: 2 ** 15, r: 8, p: 3, maxmem: 64 * 1024 * 1024 };
const KEY_BYTES = 32;
const SHAPE = /^scrypt\$([A-Za-z0-9_-]{22})\$([A-Za-z0-9_-]{43})$/;
/**
 * Verified instead of a hash that is not there, so that a wrong password and an unknown operator take the same time.
 */
const NOBODY = `scrypt$${"A".repeat(22)}$${"A".repeat(43)}`;

const AT_ONCE = 2;
const MAX_WAITING = 4;
const slots = new Semaphore(AT_ONCE, MAX_WAITING);

/** Slow on purpose; at most two run at once. Throws `rate_limited` when many wait. */
async function deriveKey(password: string, salt: Buffer): Promise<Buffer> {
  using slot = await slots.acquire();
  if (slot === undefined) throw new PaddockError("rate_limited", "Too many logins at once");
  return await derive(password.normalize("NFC"), salt, KEY_BYTES, COST);
}

/** `scrypt$<salt>$<key>`, base64url. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(16);
  const key = await deriveKey(password, salt);
  return `scrypt$${salt.toString("base64url")}$${key.toString("base64url")}`;
}

/** False for no hash, too, after the same time. */
export async function verifyPassword(password: string, hash: string | null | undefined): Promise<boolean> {
  const [, salt = "", key = ""] = SHAPE.exec(hash ?? NOBODY) ?? SHAPE.exec(NOBODY) ?? [];
  const derived = await deriveKey(password, Buffer.from(salt, "base64url"));
  const isRight = timingSafeEqual(derived, Buffer.from(key, "base64url"));
  return isRight && hash !== null && hash !== undefined && SHAPE.test(hash);
}
