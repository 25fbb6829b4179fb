import { PaddockError } from "./error.ts";

const isNotFound = (error: unknown): error is PaddockError =>
  error instanceof PaddockError && error.code === "not_found";

/** What `work` finds; undefined when it fails with `not_found`. */
export async function ifFound<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

export const noAgent = (cause?: unknown): PaddockError =>
  new PaddockError("not_found", "Agent not found", cause === undefined ? {} : { cause });

export const noResponse = (): PaddockError => new PaddockError("not_found", "Response not found");
