import { z } from "zod";
import { breach } from "./frames.ts";

/** Closed schemas of what a supervisor may say (docs/protocol.md). Everything here is reported, not evidence. */

const count = z.int().min(0).max(Number.MAX_SAFE_INTEGER);
const shortText = z.string().max(4096);
const longText = z.string().max(64 * 1024);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

/** A path below the workspace, as the host may join it to one of its own. */
const relativePath = shortText.refine(
  (path) => !path.includes("\0") && path.split("/").every((name) => name !== "" && name !== "." && name !== ".."),
  "is no path below the workspace",
);

export const Spill = z.strictObject({ path: relativePath, bytes: count, sha256 });
export const StreamReport = z.strictObject({ bytes: count, dropped: count, spill: Spill.nullable() });

export const Started = z.strictObject({ op: z.literal("started"), pid: count, relay_port: z.int().min(0).max(65535) });
export const Gap = z.strictObject({ op: z.literal("gap"), stream: z.enum(["stdout", "stderr"]), bytes: count });
export const Rich = z.strictObject({
  op: z.literal("rich"),
  mime: z.string().max(255),
  bytes: z
    .int()
    .min(0)
    .max(16 * 1024 * 1024),
});
export const Meta = z.strictObject({ op: z.literal("meta"), size: count, mode: count });
export const Connected = z.strictObject({ op: z.literal("connected") });
export const Changed = z.strictObject({
  op: z.literal("changed"),
  kind: z.enum(["create", "modify", "delete", "move"]),
  path: shortText,
});

const processFields = {
  op: z.literal("done"),
  reason: z.enum(["exit", "deadline", "cancel", "lost"]),
  exit_code: z.int().min(0).max(255).nullable(),
  signal: z.string().max(16).nullable(),
  user_us: count,
  system_us: count,
  max_rss_bytes: count,
  duration_us: count,
  stdout: StreamReport,
  stderr: StreamReport,
  killed: count,
  survivors: count,
  shared: z.boolean(),
};

export const ProcessDone = z.strictObject(processFields);
export type ProcessReport = z.infer<typeof ProcessDone>;

export const GuestError = z.strictObject({
  name: shortText,
  message: longText,
  traceback: z.array(z.strictObject({ file: shortText, line: count, function: shortText, text: shortText })).max(100),
});
export type GuestErrorReport = z.infer<typeof GuestError>;

export const CodeDone = z.strictObject({
  ...processFields,
  value: longText.nullable(),
  error: GuestError.nullable(),
  truncated: z.boolean(),
  memory_shared: z.boolean(),
});
export type CodeReport = z.infer<typeof CodeDone>;

/** The first and last moment that `Date` knows. */
const MAX_DATE_MS = 8.64e15;

/** `.` is what was asked for itself; an absolute path lies outside of the workspace. */
const listedPath = shortText.refine((path) => !path.includes("\0") && !path.split("/").includes(".."), "climbs");

export const Entry = z.strictObject({
  path: listedPath,
  type: z.enum(["file", "dir", "symlink", "other"]),
  size: count,
  mode: count,
  mtime_ms: z.int().min(-MAX_DATE_MS).max(MAX_DATE_MS),
  target: shortText.nullable(),
});
export type FileEntry = z.infer<typeof Entry>;

export const DiffLine = z.strictObject({
  kind: z.enum(["created", "modified", "deleted"]),
  path: relativePath,
  type: z.enum(["file", "dir", "symlink", "tree", "other"]),
  size: count,
  sha256: sha256.nullable(),
  files: count.nullable(),
});
export type DiffEntry = z.infer<typeof DiffLine>;

export const ProcessEntry = z.strictObject({
  pid: count,
  call: z.string().max(64),
  argv: z.array(shortText).max(64),
  background: z.boolean(),
  running: z.boolean(),
  started_ms_ago: count,
  children: count,
});
export type ProcessListing = z.infer<typeof ProcessEntry>;

const done = <Shape extends z.ZodRawShape>(shape: Shape) => z.strictObject({ op: z.literal("done"), ...shape });

export const DONE = {
  empty: done({}),
  init: done({ pid_max: count }),
  read: done({ bytes: count, sha256 }),
  write: done({ bytes: count, sha256, created: z.boolean() }),
  list: done({ entries: count, truncated: z.boolean() }),
  stat: done({ entry: Entry }),
  mkdir: done({ created: z.boolean() }),
  remove: done({ removed: count }),
  watch: done({ events: count }),
  tree: done({ entries: count, bytes: count }),
  tarIn: done({ entries: count, bytes: count, withheld: z.array(shortText).max(4096), withheld_more: count }),
  diff: done({ entries: count, more: count }),
  hashTree: done({ sha256, entries: count, bytes: count }),
  space: done({ workspace_free: count, tmp_free: count, workspace_used: count.nullable() }),
  connect: done({ tx_bytes: count, rx_bytes: count }),
  processes: done({ processes: z.array(ProcessEntry).max(4096) }),
  contexts: done({
    contexts: z
      .array(z.strictObject({ name: z.string().max(64), language: z.string().max(16), pid: count, busy: z.boolean() }))
      .max(256),
  }),
} as const;

export const Failed = z.strictObject({ op: z.literal("failed"), code: z.string().max(32), message: longText });

/** Parses a message by its closed schema; anything else is a breach. */
export function expectMessage<Schema extends z.ZodType>(schema: Schema, value: unknown): z.infer<Schema> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw breach(`a message does not fit its schema (${issue?.path.join(".") ?? ""}: ${issue?.message ?? "unknown"})`);
}
