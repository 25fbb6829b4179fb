import { statfsSync } from "node:fs";
import { PaddockError } from "../../../errors/error.ts";

const SQLITE_FULL = 13;
const SQLITE_IOERR = 10;
const SQLITE_CANTOPEN = 14;
/** Below this a failed write to a file means a full disk. */
const NO_SPACE_BYTES = 1024 * 1024;

const FULL_MESSAGE = "the disk of the database is full; nothing was changed";

/**
 * Postgres speaks of the installation, not of data, in these classes: connection, login, no such database, resources,
 * shutdown.
 */
const SPOKEN_CLASSES: ReadonlySet<string> = new Set(["08", "28", "3D", "53", "57"]);
const DISK_FULL = "53100";

/** Messages of statements may hold values, so they stay in `cause` alone. */
export function toSqliteError(thrown: unknown, folder: string): PaddockError {
  if (thrown instanceof PaddockError) return thrown;
  if (hasNumber(thrown, SQLITE_FULL) || isCode(thrown, "ENOSPC") || (isFileError(thrown) && isFull(folder)))
    return new PaddockError("no_space", FULL_MESSAGE, { cause: thrown });
  return new PaddockError("state_failed", `the database failed: ${describeSqlite(thrown)}`, { cause: thrown });
}

/** Whether it is SQLite's error of this number; extended numbers carry it in their lowest byte. */
export function hasNumber(thrown: unknown, number: number): boolean {
  return isRecord(thrown) && typeof thrown["errcode"] === "number" && (thrown["errcode"] & 0xff) === number;
}

const isFileError = (thrown: unknown): boolean => hasNumber(thrown, SQLITE_IOERR) || hasNumber(thrown, SQLITE_CANTOPEN);

function isFull(folder: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize < NO_SPACE_BYTES;
  } catch {
    return false;
  }
}

function describeSqlite(thrown: unknown): string {
  if (!isRecord(thrown)) return "unknown error";
  if (typeof thrown["errstr"] === "string") return `${thrown["errstr"]} (SQLite ${String(thrown["errcode"])})`;
  return typeof thrown["code"] === "string" ? thrown["code"] : "unknown error";
}

export function toPostgresError(thrown: unknown): PaddockError {
  if (thrown instanceof PaddockError) return thrown;
  dropValues(thrown);
  if (isCode(thrown, DISK_FULL)) return new PaddockError("no_space", FULL_MESSAGE, { cause: thrown });
  return new PaddockError("state_failed", `the database failed: ${describePostgres(thrown)}`, { cause: thrown });
}

const CONNECT_HINT =
  "Is Postgres running there, and may this machine reach it? DATABASE_URL (postgres://user:password@host:port/database) says where it is; the database has to exist (createdb).";

/** No connection: whoever starts a server for the first time reads this. `place` says where it was tried. */
export function toConnectError(thrown: unknown, place: string): PaddockError {
  dropValues(thrown);
  const isLogin = isRecord(thrown) && typeof thrown["code"] === "string" && thrown["code"].startsWith("28");
  const why = isLogin ? `it refused the login (SQLSTATE ${String(thrown["code"])})` : describePostgres(thrown);
  return new PaddockError("state_failed", `there is no connection to Postgres at ${place}: ${why}`, {
    hint: CONNECT_HINT,
    cause: thrown,
  });
}

/**
 * Postgres repeats rows and statements in these, and a URL that cannot be read, its password included, stands in the
 * last.
 */
function dropValues(thrown: unknown): void {
  if (isRecord(thrown)) for (const field of ["detail", "where", "internalQuery", "hint", "input"]) delete thrown[field];
}

function describePostgres(thrown: unknown): string {
  if (!(thrown instanceof Error)) return "unknown error";
  const code = isRecord(thrown) ? thrown["code"] : undefined;
  if (typeof code !== "string") return thrown.message === "" ? thrown.name : thrown.message;
  if (!/^[0-9A-Z]{5}$/.test(code)) return code;
  return SPOKEN_CLASSES.has(code.slice(0, 2)) ? `${thrown.message} (SQLSTATE ${code})` : `SQLSTATE ${code}`;
}

/** A deadlock, or a conflict of transactions: rolled back, and free to be tried again. */
export const isPassingInPostgres = (thrown: unknown): boolean => isCode(thrown, "40P01") || isCode(thrown, "40001");

const isCode = (thrown: unknown, code: string): boolean => isRecord(thrown) && thrown["code"] === code;
const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;
