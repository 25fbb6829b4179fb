/** The database itself. */
export interface UpkeepStore extends AsyncDisposable {
  readonly kind: "sqlite" | "postgres";
  /** Makes or migrates the tables. Throws `state_failed` for a database of a newer version. */
  start(): Promise<void>;
  /** Random, made with the tables: a copy of the database has it too, another database has another. */
  readId(): Promise<string>;
  /** A cheap question to the database; throws what it throws. */
  check(): Promise<void>;
  /**
   * Removes ended responses older than `maxAgeMs` and then the oldest until all together hold at most `maxBytes`;
   * idempotency keys after a day; tokens that expired or were revoked a week ago. Returns how many responses went.
   */
  prune(maxAgeMs: number, maxBytes: number): Promise<number>;
}
