import { z } from "zod";
import { intField, textField } from "../model/fields.ts";
import { NO_OUTPUT } from "../model/record.ts";
import { MIB } from "../model/units.ts";
import { encodingField } from "./fields.ts";
import { failureFacts, type HttpAnswer, runHttpClient } from "./http-client.ts";
import { boundTimeout, headersField, httpTimeoutField, parseHttpUrl, showUrl, withoutFragment } from "./http-fields.ts";
import { exchangeOverPort } from "./http-port.ts";
import { type HttpReply, replyOutcome } from "./http-reply.ts";
import { failedOutcome, withinDeadline } from "./outcome.ts";
import { defineTool, type ToolContext, type ToolOutcome } from "./tool.ts";

const ONCE: ReadonlySet<string> = new Set(["POST", "PATCH"]);
/** curl's exit codes, as the client inside uses them. */
const EXIT_CODES = { refused: 7, timeout: 28, reset: 56, protocol: 56 } as const;

const input = z
  .strictObject({
    method: z.enum(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]).optional().describe("Default: `GET`."),
    url: z.string().min(1).max(8192).describe("http or https URL. With `port` a path such as `/hello` is enough."),
    headers: headersField.optional(),
    body: textField(16 * MIB)
      .optional()
      .describe("Body to send, in `body_encoding`."),
    body_encoding: encodingField.optional().describe("How `body` is written here. Default: `utf8`."),
    timeout_ms: httpTimeoutField,
    max_bytes: intField(1, 8 * MIB)
      .optional()
      .describe("Most bytes of the answer's body to keep; `truncated` says when there were more. Default: 1 MiB."),
    port: intField(1, 65_535)
      .optional()
      .describe("Call a server inside the sandbox on this port of its loopback, from outside."),
    expect: z
      .strictObject({
        has: z
          .array(z.string())
          .max(100)
          .optional()
          .describe("Members that the answer's JSON object must have, whatever their value."),
        status: intField(100, 599).optional().describe("The status that the answer must have."),
        json: z
          .record(z.string(), z.unknown())
          .optional()
          .describe("Members that the answer's JSON object must have, with these values."),
      })
      .optional()
      .describe("What the answer must be; anything else fails the call."),
  })
  .superRefine(({ url, port }, context) => {
    if (parseHttpUrl(url) !== undefined || (port !== undefined && /^\/[^\s\\]*$/.test(url))) return;
    const rule = "must be an http or https URL without user and password, or with `port` a path that begins with /";
    context.addIssue({ code: "custom", path: ["url"], message: rule, input: url });
  });

type Input = z.infer<typeof input>;

export const httpRequest = defineTool({
  name: "http_request",
  title: "Send an HTTP request",
  description:
    "Sends one HTTP request through the egress policy and follows up to 5 redirects, or calls a server inside the sandbox by its `port`. A status of 400 or more fails the call. Runs again after connection failures, 429 and 5xx, but not for POST and PATCH.",
  category: "network",
  input,
  idempotency: ({ method }) => (ONCE.has(method ?? "GET") ? "once" : "idempotent"),
  command: ({ method, url, port }) => [
    "http_request",
    method ?? "GET",
    showUrl(url),
    ...(port === undefined ? [] : ["--port", String(port)]),
  ],
  run: (request, context) =>
    request.port === undefined ? askThroughProxy(request, context) : askPort(request, request.port, context),
});

async function askThroughProxy(request: Input, context: ToolContext): Promise<ToolOutcome> {
  const body = encodeBody(request);
  const { outcome, answer } = await runHttpClient(context, {
    method: request.method ?? "GET",
    url: withoutFragment(request.url),
    headers: Object.entries(request.headers ?? {}),
    body: body?.toString("base64") ?? null,
    timeout_ms: boundTimeout(request.timeout_ms, context),
    max_bytes: request.max_bytes ?? MIB,
    target: null,
  });
  if (answer === undefined) return outcome;
  const { requestBytes, responseBytes } = outcome;
  const reply = completeReply(answer);
  if (reply === undefined) return { ...outcome, stdout: NO_OUTPUT, ...failureFacts(answer) };
  const facts = { url: answer.url, redirects: answer.redirects, requestBytes };
  const replied = { ...outcome, ...replyOutcome(reply, request.expect, facts, context), responseBytes };
  // An answer that broke off or was refused is no answer to be judged by its status.
  if (answer.failure === null || answer.failure.kind === "http") return replied;
  return { ...replied, exitCode: outcome.exitCode ?? 1, stderr: outcome.stderr, ...failureFacts(answer) };
}

async function askPort(request: Input, port: number, context: ToolContext): Promise<ToolOutcome> {
  const url = new URL(request.url, `http://127.0.0.1:${port}`);
  const body = encodeBody(request);
  const timeout = AbortSignal.timeout(boundTimeout(request.timeout_ms, context));
  const asked = {
    method: request.method ?? "GET",
    path: `${url.pathname}${url.search}`,
    host: url.host,
    headers: request.headers ?? {},
    body,
    maxBytes: request.max_bytes ?? MIB,
  };
  return await withinDeadline(context, async (signal) => {
    const either = AbortSignal.any([signal, timeout]);
    const reply = await exchangeOverPort(() => context.target.connect(port), asked, either).catch((thrown: unknown) => {
      if (signal.aborted || !timeout.aborted) throw thrown;
      return { failure: "timeout", message: "the server did not answer in time" } as const;
    });
    context.mark("run");
    if ("failure" in reply) {
      const retryable = reply.failure !== "protocol";
      return failedOutcome(EXIT_CODES[reply.failure], `${reply.failure}: ${reply.message}`, { retryable });
    }
    return replyOutcome(
      reply,
      request.expect,
      { url: url.href, redirects: 0, requestBytes: body?.length ?? 0 },
      context,
    );
  });
}

function completeReply(answer: HttpAnswer): HttpReply | undefined {
  const { status, reason = "", headers = [], body = "", encoding = "utf8", bytes = 0, truncated = false } = answer;
  return status === undefined ? undefined : { status, reason, headers, body, encoding, bytes, truncated };
}

function encodeBody(request: Input): Buffer | undefined {
  return request.body === undefined ? undefined : Buffer.from(request.body, request.body_encoding ?? "utf8");
}
