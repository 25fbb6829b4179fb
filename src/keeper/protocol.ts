import { z } from "zod";
import { type ErrorCode, isErrorCode } from "../errors/codes.ts";
import type { CopyBack } from "../fleet/workspaces/workspace-folder.ts";
import { intField } from "../model/fields.ts";
import { isSandboxId } from "../model/ids.ts";
import type { TaskResult } from "../model/result.ts";
import { TaskInput } from "../model/task.ts";
import { DAY_MS } from "../model/units.ts";

/** Requests on a keeper's control socket (mode 0600, frames as in docs/protocol.md). Each connection carries one. */
export const KeeperRequest = z.discriminatedUnion("op", [
  z.strictObject({ op: z.literal("status") }),
  z.strictObject({ op: z.literal("logs") }),
  z.strictObject({ op: z.literal("kill") }),
  /** The task follows as data frames and `end`; the answer is a `KeptResult` in data frames. */
  z.strictObject({
    op: z.literal("task"),
    copy_back: z.array(z.string()),
    store: z.strictObject({ prefix: z.string().max(512).optional() }).optional(),
  }),
  z.strictObject({
    op: z.literal("exec"),
    argv: z.array(z.string()).min(1),
    cwd: z.string().optional(),
    env: z.record(z.string(), z.string()).optional(),
    pty: z.strictObject({ rows: intField(1, 10_000), cols: intField(1, 10_000) }).optional(),
    timeout_ms: z.int().min(1).optional(),
  }),
]);
export type KeeperRequest = z.infer<typeof KeeperRequest>;

/** What a task in a kept sandbox answers. */
export interface KeptResult {
  readonly result: TaskResult;
  /** Absent when nothing could be copied back, or there is no folder to copy to. */
  readonly copied_back?: CopyBack;
}

/** How a command ended. */
export const ExecDone = z.object({
  ended: z.enum(["exit", "deadline", "cancel", "lost"]),
  exit_code: z.int().nullable(),
  signal: z.string().nullable(),
  error: z.object({ code: z.string().transform(toErrorCode), message: z.string(), hint: z.string() }).nullable(),
});
export type ExecDone = z.infer<typeof ExecDone>;

/** What `paddock run --keep` hands to the detached keeper on its standard input. */
export const KeepStart = z.strictObject({
  task: TaskInput,
  ttl_ms: intField(1000, 7 * DAY_MS),
  workspace: z.string().optional(),
});
export type KeepStart = z.infer<typeof KeepStart>;

/** The same for a keeper that goes on with the sandbox of a dead one. */
export const AdoptStart = z.strictObject({ adopt: z.string().refine(isSandboxId) });
export type AdoptStart = z.infer<typeof AdoptStart>;

export const KeeperStart = z.union([KeepStart, AdoptStart]);
export type KeeperStart = z.infer<typeof KeeperStart>;

/** Lines a keeper prints on its standard output until its sandbox is ready. */
export type KeeperLine =
  | { readonly progress: string }
  | { readonly ready: string }
  | { readonly error: { readonly code: string; readonly message: string; readonly hint: string } };

/** What chooses the driver of a keeper. The next keeper of the same sandbox gets exactly these. */
export const DRIVER_VARIABLES = [
  "PADDOCK_DRIVER",
  "PADDOCK_RUNTIME",
  "PADDOCK_LIMITS",
  "DOCKER_HOST",
  "DOCKER_CONTEXT",
  "DOCKER_CONFIG",
  "DOCKER_CERT_PATH",
  "DOCKER_TLS",
  "DOCKER_TLS_VERIFY",
] as const;

/** Its name in `run/<id>`. */
export const CARD = "keeper.json";

/** `run/<id>/keeper.json`. */
export const KeeperCard = z.strictObject({
  sandbox_id: z.string(),
  node_type: z.string(),
  created: z.string(),
  expires: z.string(),
  keeper: z.strictObject({ pid: z.int(), startTicks: z.string(), bootId: z.string() }),
  /** Host folder that tasks copy their changes back to. */
  workspace: z.string().optional(),
  driver: z.partialRecord(z.enum(DRIVER_VARIABLES), z.string()),
});
export type KeeperCard = z.infer<typeof KeeperCard>;

/** Codes of another version's keeper count as `internal`. */
export function toErrorCode(code: string): ErrorCode {
  return isErrorCode(code) ? code : "internal";
}
