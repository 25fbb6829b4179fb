import { z } from "zod";
import { tryJson } from "../lib/json.ts";
import { NO_OUTPUT } from "../model/record.ts";
import { pathField } from "./fields.ts";
import { runHttpClient } from "./http-client.ts";
import { boundTimeout } from "./http-fields.ts";
import { failedOutcome, processOutcome, runOptions } from "./outcome.ts";
import { programArgv } from "./programs.ts";
import { bucketField, keyField, showObject, signObject, transferFailure, transferTimeoutField } from "./s3-object.ts";
import { defineTool, type ToolContext, type ToolOutcome } from "./tool.ts";

/** A server takes no more in one request. */
const MAX_BYTES = 5 * 1024 ** 3;
/** curl's, for a file that cannot be read. */
const READ_ERROR = 26;

const input = z.strictObject({
  path: pathField.describe("File to store, relative to the workspace or absolute."),
  key: keyField.describe("Key of the object; what is there is replaced."),
  bucket: bucketField,
  timeout_ms: transferTimeoutField,
});

export const s3Put = defineTool({
  name: "s3_put",
  title: "Put an object into S3",
  description:
    "Stores one file as an object of at most 5 GiB by a URL that the host signs for five minutes, for this content only (length and sha256); no key enters the sandbox. The operator must have granted the bucket and prefix, and the network policy must allow the S3 host. Runs again after connection failures, 429 and 5xx.",
  category: "network",
  input,
  idempotency: () => "idempotent",
  command: ({ path, bucket, key }) => ["s3_put", path, showObject(bucket, key)],
  run: async ({ path, bucket, key, timeout_ms }, context) => {
    const begun = performance.now();
    const measured = await measureFile(path, context);
    if ("ended" in measured) return measured;
    const sign = await signObject(context, { method: "PUT", bucket, key, ...measured });
    if ("refused" in sign) return sign.refused;
    const { signed } = sign;
    const left = { ...context, deadlineMs: Math.max(1, context.deadlineMs - (performance.now() - begun)) };
    const { outcome, answer } = await runHttpClient(left, {
      method: "PUT",
      url: signed.url,
      headers: Object.entries(signed.headers),
      body: null,
      timeout_ms: boundTimeout(timeout_ms ?? left.deadlineMs, left),
      max_bytes: 64 * 1024,
      max_redirects: 0,
      target: null,
      source: { path, bytes: measured.bytes },
    });
    if (answer === undefined) return outcome;
    if (answer.failure !== null) return transferFailure(outcome, answer);
    const value = { path, bucket: signed.bucket, key: signed.key, ...measured };
    return { ...outcome, stdout: NO_OUTPUT, stderr: NO_OUTPUT, value };
  },
});

const Measured = z.union([
  z.strictObject({
    bytes: z.int().min(0).max(MAX_BYTES, "is more than 5 GiB"),
    sha256: z.string().regex(/^[0-9a-f]{64}$/),
  }),
  z.strictObject({ failure: z.string().max(1000) }),
]);

/**
 * Length and sha256, read inside the sandbox. They bind the upload to this content; nothing else is concluded from
 * them.
 */
async function measureFile(
  path: string,
  context: ToolContext,
): Promise<{ bytes: number; sha256: string } | ToolOutcome> {
  const { onOutput: _silent, ...options } = runOptions(context);
  const run = { ...options, argv: programArgv("upload.py"), outputBytes: 64 * 1024, liveBytes: null };
  const outcome = processOutcome(await context.target.runProcess(run, JSON.stringify(path)));
  if (outcome.ended !== "exit") return outcome;
  const answer = Measured.safeParse(tryJson(outcome.stdout.text));
  if (!answer.success)
    return { ...outcome, exitCode: outcome.exitCode === 0 ? READ_ERROR : (outcome.exitCode ?? READ_ERROR) };
  if ("failure" in answer.data) return failedOutcome(READ_ERROR, `read: ${path}: ${answer.data.failure}`);
  return answer.data;
}
