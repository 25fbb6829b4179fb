import { z } from "zod";
import { timeoutField } from "./fields.ts";
import type { ToolContext } from "./tool.ts";

const DEFAULT_TIMEOUT_MS = 30_000;

/** Headers that frame a message or belong to one hop; the client sets them itself. */
const FRAMING = new Set(
  "connection content-length expect keep-alive proxy-authorization proxy-connection te trailer transfer-encoding upgrade".split(
    " ",
  ),
);

const headerName = z
  .string()
  .max(256)
  .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, "must be a header name")
  .refine((name) => !FRAMING.has(name.toLowerCase()), "is set by the client itself");

export const headersField = z
  .record(
    headerName,
    z
      .string()
      .max(16 * 1024)
      .regex(/^[\t\x20-\x7e\x80-\uffff]*$/, "must be one line of text"),
  )
  .describe("Headers to send. The call's record does not show them.");

export const httpTimeoutField = timeoutField
  .optional()
  .describe("Time for the whole exchange. Default: 30 s, at most the call's deadline.");

export const httpUrl = z
  .string()
  .max(8192)
  .refine((text) => parseHttpUrl(text) !== undefined, "must be an http or https URL without user and password");

export function parseHttpUrl(text: string): URL | undefined {
  const url = URL.parse(text);
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) return undefined;
  return url.username === "" && url.password === "" ? url : undefined;
}

/** A URL as records show it: a query may hold a signature or a token. */
export function showUrl(text: string): string {
  const [before] = text.split(/[?#]/, 1);
  return text.includes("?") ? `${before}?...` : (before ?? "");
}

export function withoutFragment(text: string): string {
  const url = new URL(text);
  url.hash = "";
  return url.href;
}

/** The client inside ends by itself a moment before the attempt's deadline would end it. */
export function boundTimeout(timeoutMs: number | undefined, context: ToolContext): number {
  return Math.max(1, Math.floor(Math.min(timeoutMs ?? DEFAULT_TIMEOUT_MS, context.deadlineMs - 100)));
}
