import { z } from "zod";
import { PaddockError } from "../../errors/error.ts";
import { tryJson } from "../../lib/json.ts";
import type { WireReply } from "./wire.ts";

/**
 * What servers of this generation answer. They differ: unknown keys are dropped, absent ones have defaults, and only
 * what the client needs must be right. Every value comes from a foreign server.
 */

const name = z.string().max(256);
const looseList = <Item extends z.ZodType>(item: Item) =>
  z
    .array(item)
    .nullish()
    .transform((list) => list ?? []);

const Segment = z.looseObject({ type: name, tool: name.optional().catch(undefined) }).catch({ type: "unreadable" });
export type Segment = z.infer<typeof Segment>;

export const Agent = z.object({
  name,
  state: z
    .string()
    .max(64)
    .transform((state) => state.toLowerCase()),
  metadata: z.unknown().optional(),
});
export type Agent = z.infer<typeof Agent>;

const moment = z.iso.datetime({ offset: true }).nullish().catch(undefined);
const Failure = z.object({ code: z.string().max(64), message: z.string() });

export const Response = z.object({
  id: name,
  status: z
    .string()
    .max(64)
    .transform((status) => status.toLowerCase()),
  input_content: looseList(z.unknown()),
  output_content: looseList(z.unknown()),
  segments: looseList(Segment),
  updated_at: z.string().max(64).nullish(),
  /** The rest is ours: a stock server says nothing of it. */
  error: Failure.nullish().catch(undefined),
  queued_at: moment,
  started_at: moment,
});
export type Response = z.infer<typeof Response>;

export const ResponseList = z
  .array(z.unknown())
  .max(10_000)
  .transform((rows) =>
    rows.flatMap((row) => {
      const parsed = Response.safeParse(row);
      return parsed.success ? [parsed.data] : [];
    }),
  );
export const ResponseCount = z.object({ count: z.int().min(0) });
export const Login = z.object({
  token: z
    .string()
    .min(1)
    .max(64 * 1024),
});
export const Cancelled = z.object({ cancelled: z.boolean().optional() });
export const FileListing = z.object({
  entries: z
    .array(
      z.object({
        name: z.string().max(4096),
        kind: z.string().max(64),
        size: z.number().min(0).catch(0),
        mode: z.string().max(16).catch("0"),
        mtime: z.string().max(64).catch(""),
      }),
    )
    .max(10_000),
  next_offset: z.int().min(0).nullish(),
});
export type FileListing = z.infer<typeof FileListing>;

/**
 * `paddock` is ours: a server that takes explicit work says so. The rest of the answer is the same on every version.
 */
export const Version = z.object({
  paddock: z
    .object({ items: z.array(z.string().max(64)).max(64), version: z.string().max(64).optional().catch(undefined) })
    .optional()
    .catch(undefined),
  version: z.string().max(64).optional().catch(undefined),
});

const ErrorBody = z.object({ message: z.string() });

const MAX_SHOWN = 500;

/**
 * The words of a failed reply: `message` of JSON, else plain text, else the title of an HTML page. One line without
 * control characters.
 */
export function describeBody(reply: WireReply): string {
  const body = reply.bytes.subarray(0, 64 * 1024).toString("utf8");
  const parsed = ErrorBody.safeParse(tryJson(body));
  const words = parsed.success ? parsed.data.message : isHtml(body, reply.contentType) ? readHtml(body) : body;
  return words
    .replaceAll(/[\p{Cc}\p{Cf}]+/gu, " ")
    .trim()
    .slice(0, MAX_SHOWN);
}

const isHtml = (body: string, type: string): boolean =>
  type.toLowerCase().includes("html") || /^\s*<(?:!doctype|html)\b/i.test(body);

function readHtml(body: string): string {
  const title = /<title[^<>]*>([^<]*)</i.exec(body)?.[1] ?? body.replaceAll(/<[^<>]*>/g, " ");
  return title.replaceAll(/\s+/g, " ");
}

/**
 * A successful reply in its shape. What is no JSON, or JSON of another shape, is `remote_unavailable` with kind
 * `shape`: a gateway answered in the server's place, or the answer was damaged.
 */
export function parseReply<Schema extends z.ZodType>(schema: Schema, reply: WireReply, what: string): z.infer<Schema> {
  const parsed = schema.safeParse(tryJson(reply.bytes.toString("utf8")));
  if (parsed.success) return parsed.data;
  throw new PaddockError("remote_unavailable", `${what}: the answer is not what the contract says`, {
    context: { kind: "shape", status: reply.status },
    hint: "Check that the URL is a Ractor server of the agents and responses generation (docs/remote.md).",
  });
}

const MARKERS: ReadonlySet<string> = new Set("slept woke context_cleared context_compacted compact_summary".split(" "));

/** Rows that the server writes about the agent itself; no task. */
export function isMarker({ segments, input_content }: Response): boolean {
  return input_content.length === 0 && segments.length > 0 && segments.every(({ type }) => MARKERS.has(type));
}

const TERMINAL: ReadonlySet<string> = new Set(["completed", "failed", "cancelled"]);
export const isTerminal = ({ status }: Response): boolean => TERMINAL.has(status);
