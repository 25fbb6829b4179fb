import type { ErrorCode } from "../../errors/codes.ts";
import { PaddockError } from "../../errors/error.ts";
import { hintForHttp } from "../../errors/http-hints.ts";
import type { RecordedError, ToolCallRecord } from "../../model/record.ts";

/** Failures whose messages are for who runs the server: they may name paths and programs of the host. */
const OF_THE_HOST: ReadonlySet<string> = new Set<ErrorCode>([
  "internal",
  "invalid_config",
  "state_failed",
  "driver_unavailable",
  "isolation_failed",
]);

const MESSAGE = "The platform failed; the server's log has the cause.";
const HINT = "Ask who runs the server.";

export const isOfTheHost = ({ code }: { readonly code: string }): boolean => OF_THE_HOST.has(code);

/** The error as an agent's owner may read it. */
export function hideHostDetails(error: PaddockError): PaddockError {
  const { code, message, context } = error;
  if (isOfTheHost(error)) return new PaddockError(code, MESSAGE, { hint: HINT, cause: error });
  const hint = hintForHttp(error);
  return hint === error.hint ? error : new PaddockError(code, message, { hint, cause: error, context });
}

/** The same for an error that is data already. */
export const tellRecorded = (error: RecordedError): RecordedError =>
  isOfTheHost(error) ? { ...error, message: MESSAGE, hint: HINT } : { ...error, hint: hintForHttp(error) };

/** A call's record as its owner may read it: what failed is in its attempts, too. */
export const tellRecord = (record: ToolCallRecord): ToolCallRecord => ({
  ...record,
  ...(record.error === undefined ? {} : { error: tellRecorded(record.error) }),
  attempts: record.attempts.map((attempt) =>
    attempt.error === undefined ? attempt : { ...attempt, error: tellRecorded(attempt.error) },
  ),
});
