import { PaddockError } from "../../errors/error.ts";
import { codeOf } from "../../lib/if-there.ts";

/** A failure of the file system as an error of the store. */
export function fileFailure(error: unknown, what: string): PaddockError {
  if (error instanceof PaddockError) return error;
  const code = codeOf(error);
  if (code === "ENOSPC" || code === "EDQUOT")
    return new PaddockError("no_space", `${what}: the disk is full`, { cause: error });
  const why = error instanceof Error ? error.message : String(error);
  return new PaddockError("artifact_failed", `${what}: ${why}`, {
    cause: error,
    hint: "Check the folder artifacts below PADDOCK_HOME: its owner, its permissions and its disk.",
  });
}
