import { PaddockError } from "../../errors/error.ts";

export const codeOf = (error: unknown): string | undefined =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;

export const isMissing = (error: unknown): boolean => codeOf(error) === "ENOENT";

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
