import { z } from "zod";
import { tryJson } from "../lib/json.ts";
import { isRetryableStatus } from "./http-reply.ts";
import { processOutcome, runOptions } from "./outcome.ts";
import { programArgv } from "./programs.ts";
import type { ToolContext, ToolOutcome } from "./tool.ts";

/** What images/supervisor/tools/http_client.py is asked. */
export interface HttpClientRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: readonly (readonly [string, string])[];
  /** Base64. */
  readonly body: string | null;
  readonly timeout_ms: number;
  readonly max_bytes: number;
  readonly target: {
    readonly path: string;
    /** The path comes from the URL: other content in its place is kept. */
    readonly derived: boolean;
    readonly temporary: string;
    readonly sha256: string | null;
  } | null;
  /** A file that is the body; `headers` hold its content-length. */
  readonly source?: { readonly path: string; readonly bytes: number };
  /** Default: 5. */
  readonly max_redirects?: number;
}

const FAILURE_KINDS = [
  "url",
  "resolve",
  "refused",
  "partial",
  "http",
  "denied",
  "write",
  "disk",
  "read",
  "timeout",
  "tls",
  "redirects",
  "proxy",
  "reset",
  "protocol",
  "certificate",
  "too_large",
  "checksum",
] as const;

const RETRYABLE: ReadonlySet<string> = new Set(["resolve", "refused", "partial", "timeout", "proxy", "reset"]);

const count = z.int().min(0);

/** What it answers; untrusted, and filled only as far as the exchange got. */
const HttpAnswer = z.strictObject({
  url: z.string().max(16_384),
  redirects: count,
  status: z.int().min(100).max(999).optional(),
  reason: z.string().max(256).optional(),
  headers: z
    .array(z.tuple([z.string(), z.string()]))
    .max(1000)
    .optional(),
  bytes: count.optional(),
  truncated: z.boolean().optional(),
  body: z.string().optional(),
  encoding: z.enum(["utf8", "base64"]).optional(),
  path: z.string().max(8192).optional(),
  sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .optional(),
  failure: z.strictObject({ kind: z.enum(FAILURE_KINDS), message: z.string().max(4096) }).nullable(),
});
export type HttpAnswer = z.infer<typeof HttpAnswer>;

/** Runs the client inside; `answer` is absent when it was ended first or something else answered in its place. */
export async function runHttpClient(
  context: ToolContext,
  request: HttpClientRequest,
): Promise<{ outcome: ToolOutcome; answer?: HttpAnswer }> {
  // A body in JSON takes at most twice its size.
  const outputBytes = 2 * (request.target === null ? request.max_bytes : 64 * 1024) + 256 * 1024;
  const { onOutput: _silent, ...options } = runOptions(context);
  const run = { ...options, argv: programArgv("http_client.py"), outputBytes, liveBytes: null };
  const result = await context.target.runProcess(run, JSON.stringify(request));
  context.mark("run");
  const outcome = processOutcome(result);
  if (outcome.ended !== "exit") return { outcome };
  const answer = HttpAnswer.safeParse(tryJson(outcome.stdout.text));
  return answer.success ? { outcome, answer: answer.data } : { outcome };
}

/** The facts of a failed exchange that decide about verdict and retry. */
export function failureFacts(answer: HttpAnswer): Pick<ToolOutcome, "verdict" | "retryable"> {
  const kind = answer.failure?.kind;
  if (kind === undefined) return {};
  if (kind === "denied") return { verdict: "denied" };
  if (kind === "disk") return { verdict: "disk" };
  return { retryable: kind === "http" ? isRetryableStatus(answer.status ?? 0) : RETRYABLE.has(kind) };
}
