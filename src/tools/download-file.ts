import { posix } from "node:path";
import { z } from "zod";
import { intField } from "../model/fields.ts";
import { NO_OUTPUT } from "../model/record.ts";
import { MIB, TIB } from "../model/units.ts";
import { pathField, sha256Field } from "./fields.ts";
import { failureFacts, runHttpClient } from "./http-client.ts";
import { boundTimeout, headersField, httpTimeoutField, httpUrl, showUrl, withoutFragment } from "./http-fields.ts";
import { defineTool } from "./tool.ts";

const MAX_NAME_LENGTH = 128;

const input = z.strictObject({
  url: httpUrl.describe("http or https URL to download."),
  path: pathField
    .optional()
    .describe(
      "Where to put it; replaces what is there. Default: the last part of the URL's path, with a number added when other content has that name.",
    ),
  headers: headersField.optional(),
  sha256: sha256Field.optional().describe("The file's sha256; other content fails the call and leaves nothing."),
  max_bytes: intField(1, TIB).optional().describe("A longer file fails the call and leaves nothing. Default: 512 MiB."),
  timeout_ms: httpTimeoutField,
});

export const downloadFile = defineTool({
  name: "download_file",
  title: "Download a file",
  description:
    "Downloads a URL into the workspace through the egress policy, following up to 5 redirects. The file appears only when it is whole. Runs again after connection failures, 429 and 5xx.",
  category: "network",
  input,
  idempotency: () => "idempotent",
  command: ({ url, path }) => ["download_file", showUrl(url), ...(path === undefined ? [] : [path])],
  run: async (request, context) => {
    const { outcome, answer } = await runHttpClient(context, {
      method: "GET",
      url: withoutFragment(request.url),
      headers: Object.entries(request.headers ?? {}),
      body: null,
      timeout_ms: boundTimeout(request.timeout_ms, context),
      max_bytes: request.max_bytes ?? 512 * MIB,
      target: {
        path: request.path ?? nameFromUrl(request.url),
        derived: request.path === undefined,
        temporary: posix.join(context.target.settings.workspacePath, ".paddock", `${context.callId}.part`),
        sha256: request.sha256?.toLowerCase() ?? null,
      },
    });
    if (answer === undefined) return outcome;
    const { path, bytes = 0, sha256, status, url, failure } = answer;
    return {
      ...outcome,
      stdout: NO_OUTPUT,
      ...(failure === null ? { value: { path, bytes, sha256, status, url } } : failureFacts(answer)),
    };
  },
});

/** A plain file name from the last part of a URL's path. */
export function nameFromUrl(text: string): string {
  const last = new URL(text).pathname.split("/").findLast((part) => part !== "") ?? "";
  const name = decode(last)
    .replaceAll(/[^\p{L}\p{N}._-]+/gu, "_")
    .replace(/^[._-]+/, "")
    .slice(-MAX_NAME_LENGTH);
  return name === "" || name === "_" ? "download" : name;
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
