import type { Dialect, Kysely } from "kysely";
import type { PaddockError } from "../../../errors/error.ts";
import type { Tables } from "./tables.ts";

/** All that differs between the two databases. The queries are written once. */
export interface StateDialect {
  readonly kind: "sqlite" | "postgres";
  /** The connection, for kysely. Strings pass `encodeText` on their way in and `decodeText` on their way out. */
  readonly connection: Dialect;
  /** Column definition of a number that the database counts up, as primary key. */
  readonly serialKey: string;
  /** Function of (text, part): the place of the part, 0 when it is absent. */
  readonly findPart: "instr" | "strpos";
  /**
   * Rows are locked by the statements that read them. False: a transaction is the only one that writes, from its
   * beginning.
   */
  readonly locksRows: boolean;
  /** Until the end of the transaction, nobody else gets the lock of this name. */
  lockName(transaction: Kysely<Tables>, name: string): Promise<void>;
  /** Opens files, sets modes. */
  prepare(): Promise<void>;
  /** Gives room that became free back to the disk, a part at a time; true while there is more. */
  shrink(): boolean;
  /** Nothing was changed, for a reason that passes: another writer. */
  isPassing(thrown: unknown): boolean;
  toError(thrown: unknown): PaddockError;
}
