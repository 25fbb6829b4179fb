import type { ErrorCode } from "../errors/codes.ts";
import { PaddockError } from "../errors/error.ts";
import type { RecordedError } from "../model/record.ts";

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
export const tellError = (error: PaddockError): PaddockError =>
  isOfTheHost(error) ? new PaddockError(error.code, MESSAGE, { hint: HINT, cause: error }) : error;

/** The same for an error that is data already. */
export const tellRecorded = (error: RecordedError): RecordedError =>
  isOfTheHost(error) ? { ...error, message: MESSAGE, hint: HINT } : error;
