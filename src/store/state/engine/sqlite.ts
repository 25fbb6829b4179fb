import { chmodSync, closeSync, mkdirSync, openSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import {
  CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  SqliteDialect,
  SqliteDriver,
  type SqliteStatement,
} from "kysely";
import type { StateDialect } from "./dialect.ts";
import { hasNumber, toSqliteError } from "./errors.ts";
import { decodeRow, encodeParameters } from "./text.ts";

const FOLDER_MODE = 0o700;
const FILE_MODE = 0o600;
const FILE = "paddock.db";
/**
 * SQLite waits for another writer by putting the whole process to sleep, so it does not wait; the context tries again.
 */
const BUSY_MS = 0;
/** Two processes that open a new file at once meet at the change to WAL. */
const OPEN_MS = 10_000;
const RETRY_MS = 20;
const SQLITE_BUSY = 5;
/** Kinds of statements that stay prepared; ours are fewer, but for lists of unusual length. */
const MAX_PREPARED = 300;
/** 8 MiB, in a few milliseconds. */
const PAGES_AT_ONCE = 2000;

/**
 * `paddock.db` in a folder, through `node:sqlite`: one connection, every transaction takes the write lock at its
 * beginning.
 */
export function makeSqliteDialect(folder: string): StateDialect {
  const path = join(folder, FILE);
  let file: DatabaseSync | undefined;
  const open = async (): Promise<DatabaseSync> => {
    file = await openFile(path);
    return file;
  };
  return {
    kind: "sqlite",
    connection: makeConnection(open),
    shrink: () => file !== undefined && shrinkFile(file),
    serialKey: "integer primary key autoincrement",
    findPart: "instr",
    locksRows: false,
    lockName: async () => undefined,
    prepare: async () => makeFile(folder, path),
    isPassing: (thrown) => hasNumber(thrown, SQLITE_BUSY),
    toError: (thrown) => toSqliteError(thrown, folder),
  };
}

/** SQLite gives its journal the mode of the database file. */
function makeFile(folder: string, path: string): void {
  mkdirSync(folder, { recursive: true, mode: FOLDER_MODE });
  chmodSync(folder, FOLDER_MODE);
  closeSync(openSync(path, "a", FILE_MODE));
  chmodSync(path, FILE_MODE);
}

function makeConnection(open: () => Promise<DatabaseSync>): Dialect {
  let file: DatabaseSync | undefined;
  const config = {
    database: async () => {
      file = await open();
      return makeShim(file);
    },
  };
  const base = new SqliteDialect(config);
  return {
    createAdapter: () => base.createAdapter(),
    createIntrospector: (db) => base.createIntrospector(db),
    createQueryCompiler: () => base.createQueryCompiler(),
    createDriver: () => new ImmediateDriver(config, () => file?.isTransaction ?? false),
  };
}

/**
 * A transaction that reads first and writes later is lost when another process wrote in between; so it takes the lock
 * first.
 */
class ImmediateDriver extends SqliteDriver {
  readonly #isInTransaction: () => boolean;

  constructor(config: ConstructorParameters<typeof SqliteDriver>[0], isInTransaction: () => boolean) {
    super(config);
    this.#isInTransaction = isInTransaction;
  }

  override async beginTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw("begin immediate"));
  }

  /** SQLite has rolled back itself after a full disk. */
  override async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    if (this.#isInTransaction()) await connection.executeQuery(CompiledQuery.raw("rollback"));
  }
}

async function openFile(path: string): Promise<DatabaseSync> {
  for (let waitedMs = 0; ; waitedMs += RETRY_MS) {
    const file = new DatabaseSync(path, { timeout: BUSY_MS, enableForeignKeyConstraints: true });
    try {
      // Before there are tables, or it says nothing.
      file.exec("pragma auto_vacuum = incremental");
      file.exec("pragma journal_mode = wal; pragma synchronous = full; pragma journal_size_limit = 67108864");
      return file;
    } catch (thrown) {
      file.close();
      if (!hasNumber(thrown, SQLITE_BUSY) || waitedMs >= OPEN_MS) throw thrown;
      await sleep(RETRY_MS);
    }
  }
}

/** A file of before it could shrink keeps its size; what is free in it is used again. */
function shrinkFile(file: DatabaseSync): boolean {
  const free = (): number => Number(file.prepare("pragma freelist_count").get()?.["freelist_count"] ?? 0);
  const before = free();
  if (before === 0) return false;
  file.exec(`pragma incremental_vacuum(${PAGES_AT_ONCE})`);
  const left = free();
  // The file itself is cut when the journal is written back.
  if (left === 0 || left === before) file.exec("pragma wal_checkpoint(passive)");
  return left > 0 && left < before;
}

function makeShim(file: DatabaseSync): { close(): void; prepare(sql: string): SqliteStatement } {
  const prepared = new Map<string, SqliteStatement>();
  return {
    close: () => file.close(),
    prepare: (sql) => {
      const known = prepared.get(sql);
      if (known !== undefined) return known;
      const statement = wrapStatement(file.prepare(sql));
      if (prepared.size < MAX_PREPARED) prepared.set(sql, statement);
      return statement;
    },
  };
}

type Parameters = Parameters_<StatementSync["all"]>;
type Parameters_<F> = F extends (...parameters: infer P) => unknown ? P : never;

function wrapStatement(statement: StatementSync): SqliteStatement {
  const bind = (parameters: readonly unknown[]): Parameters => encodeParameters(parameters) as Parameters;
  return {
    reader: statement.columns().length > 0,
    all: (parameters) => {
      const rows = statement.all(...bind(parameters));
      rows.forEach(decodeRow);
      return rows;
    },
    run: (parameters) => statement.run(...bind(parameters)),
    iterate: (parameters) => statement.iterate(...bind(parameters)),
  };
}
