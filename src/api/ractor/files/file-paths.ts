import { PaddockError } from "../../../errors/error.ts";
import type { AgentRow } from "../../../model/agent.ts";
import type { Principal } from "../../../model/principal.ts";
import { ACCESS_DENIED, isOwner } from "../request/access-rules.ts";

const MAX_PATH_BYTES = 4000;
const MAX_NAME_BYTES = 255;

export const invalidPath = (): PaddockError => new PaddockError("invalid_request", "Invalid path");

/**
 * A path below `/agent` as the contract has it: relative, no empty, `.` or `..` segment, no NUL. Throws
 * `invalid_request`.
 */
export function checkPath(path: string): string {
  const names = path.split("/");
  const isValid =
    !path.includes("\0") &&
    path.isWellFormed() &&
    Buffer.byteLength(path) <= MAX_PATH_BYTES &&
    names.every((name) => name !== "" && name !== "." && name !== ".." && Buffer.byteLength(name) <= MAX_NAME_BYTES);
  if (!isValid) throw invalidPath();
  return path;
}

/** Publishing shows an agent's files to all, but not its environment. */
export function assertReadable(agent: AgentRow, principal: Principal, path: string): void {
  if (isOwner(agent, principal)) return;
  if (path.split("/").some((name) => name.toLowerCase() === ".env")) throw new PaddockError("forbidden", ACCESS_DENIED);
}
