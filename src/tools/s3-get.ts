import { posix } from "node:path";
import { z } from "zod";
import { intField } from "../model/fields.ts";
import { NO_OUTPUT } from "../model/record.ts";
import { MIB, TIB } from "../model/units.ts";
import { nameFromUrl } from "./download-file.ts";
import { pathField, sha256Field } from "./fields.ts";
import { runHttpClient } from "./http-client.ts";
import { boundTimeout } from "./http-fields.ts";
import { bucketField, keyField, showObject, signObject, transferFailure, transferTimeoutField } from "./s3-object.ts";
import { defineTool } from "./tool.ts";

const input = z.strictObject({
  key: keyField.describe("Key of the object."),
  bucket: bucketField,
  path: pathField
    .optional()
    .describe(
      "Where to put it; replaces what is there. Default: the last part of the key, with a number added when other content has that name.",
    ),
  sha256: sha256Field.optional().describe("The object's sha256; other content fails the call and leaves nothing."),
  max_bytes: intField(1, TIB)
    .optional()
    .describe("A longer object fails the call and leaves nothing. Default: 512 MiB."),
  timeout_ms: transferTimeoutField,
});

export const s3Get = defineTool({
  name: "s3_get",
  title: "Get an object from S3",
  description:
    "Downloads one object into the workspace by a URL that the host signs for five minutes; no key enters the sandbox. The operator must have granted the bucket and prefix, and the network policy must allow the S3 host. Runs again after connection failures, 429 and 5xx.",
  category: "network",
  input,
  idempotency: () => "idempotent",
  command: ({ bucket, key, path }) => ["s3_get", showObject(bucket, key), ...(path === undefined ? [] : [path])],
  run: async (request, context) => {
    const sign = await signObject(context, { method: "GET", bucket: request.bucket, key: request.key });
    if ("refused" in sign) return sign.refused;
    const { signed } = sign;
    const { outcome, answer } = await runHttpClient(context, {
      method: "GET",
      url: signed.url,
      headers: Object.entries(signed.headers),
      body: null,
      timeout_ms: boundTimeout(request.timeout_ms ?? context.deadlineMs, context),
      max_bytes: request.max_bytes ?? 512 * MIB,
      max_redirects: 0,
      target: {
        path: request.path ?? nameFromUrl(signed.url),
        derived: request.path === undefined,
        temporary: posix.join(context.target.settings.workspacePath, ".paddock", `${context.callId}.part`),
        sha256: request.sha256?.toLowerCase() ?? null,
      },
    });
    if (answer === undefined) return outcome;
    if (answer.failure !== null) return transferFailure(outcome, answer);
    const { path, bytes = 0, sha256 } = answer;
    const value = { path, bucket: signed.bucket, key: signed.key, bytes, sha256 };
    return { ...outcome, stdout: NO_OUTPUT, stderr: NO_OUTPUT, value };
  },
});
