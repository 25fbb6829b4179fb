import { z } from "zod";
import { PaddockError } from "../errors/error.ts";
import { NO_OUTPUT } from "../model/record.ts";
import { timeoutField } from "./fields.ts";
import type { HttpAnswer } from "./http-client.ts";
import { failureFacts } from "./http-client.ts";
import { failedOutcome, textOutput } from "./outcome.ts";
import type { ObjectAccess, ToolContext, ToolOutcome } from "./tool.ts";

/** What `s3_get` and `s3_put` share. */

export const bucketField = z
  .string()
  .min(3)
  .max(63)
  .regex(/^[a-z0-9][a-z0-9.-]*[a-z0-9]$/, "must be a bucket's name")
  .optional()
  .describe("Bucket. Default: the one of the configured artifact store, with the store's prefix before `key`.");

export const keyField = z.string().min(1).max(1024);

export const transferTimeoutField = timeoutField
  .optional()
  .describe("Time for the whole transfer. Default and most: the call's deadline.");

export const showObject = (bucket: string | undefined, key: string): string =>
  bucket === undefined ? key : `s3://${bucket}/${key}`;

type SignRequest = Parameters<ObjectAccess["sign"]>[0];
type Signed = Awaited<ReturnType<ObjectAccess["sign"]>>;

/** The signed request, or how the call ends without one. */
export async function signObject(
  context: ToolContext,
  request: SignRequest,
): Promise<{ signed: Signed } | { refused: ToolOutcome }> {
  try {
    if (context.objects === undefined) throw new PaddockError("unsupported", "this sandbox has no access to objects");
    return { signed: await context.objects.sign(request) };
  } catch (thrown) {
    if (!(thrown instanceof PaddockError)) throw thrown;
    const message = `${thrown.code}: ${thrown.message}. ${thrown.hint}`;
    if (thrown.code !== "object_denied") return { refused: failedOutcome(1, message) };
    return { refused: failedOutcome(1, message, { verdict: "denied", error: thrown }) };
  }
}

const SERVER_CODE = /<Code>([A-Za-z]{1,64})<\/Code>/;

/**
 * How a failed transfer ends. The client's own words may hold the signed URL, so they are said anew; nothing of the
 * answer's body but its code is kept.
 */
export function transferFailure(outcome: ToolOutcome, answer: HttpAnswer): ToolOutcome {
  const { kind = "protocol", message = "" } = answer.failure ?? {};
  const text = answer.encoding === "utf8" ? SERVER_CODE.exec(answer.body ?? "")?.[1] : undefined;
  const code = text === undefined ? "" : ` (${text})`;
  return {
    ...outcome,
    stdout: NO_OUTPUT,
    stderr: textOutput(`${kind}: ${redactSignature(message)}${code}\n`, 64 * 1024),
    ...failureFacts(answer),
  };
}

/** What signs a URL, out of a text. */
export function redactSignature(text: string): string {
  return text.replaceAll(/(X-Amz-[A-Za-z0-9-]{1,64}=)[^&\s"'<>]*/gi, "$1[redacted]");
}
