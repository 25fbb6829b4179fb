import { type CodeRow, ERROR_CODES, type ErrorCode } from "./codes.ts";

export interface ErrorFacts {
  /** Replaces the table's hint where the place of failure knows better. */
  readonly hint?: string;
  readonly cause?: unknown;
  /** Typed context for logs and JSON output; never secrets. */
  readonly context?: Readonly<Record<string, unknown>>;
}

/** How an error stands in records and JSON output. */
export interface ErrorShape {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
  readonly retryable: boolean;
}

/** The one error class of the platform. A guest's failure is a result, never one of these. */
export class PaddockError extends Error {
  readonly code: ErrorCode;
  readonly hint: string;
  readonly context: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, facts: ErrorFacts = {}) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.name = "PaddockError";
    this.code = code;
    this.hint = facts.hint ?? ERROR_CODES[code].hint;
    this.context = facts.context ?? {};
  }

  get row(): CodeRow {
    return ERROR_CODES[this.code];
  }

  toJSON(): ErrorShape {
    return { code: this.code, message: this.message, hint: this.hint, retryable: this.row.retryable };
  }
}

/** Anything thrown as a PaddockError; what is not one is a defect and becomes `internal` with its cause kept. */
export function toPaddockError(thrown: unknown): PaddockError {
  if (thrown instanceof PaddockError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new PaddockError("internal", message, { cause: thrown });
}
