import { STATUS_CODES } from "node:http";

/** Why the proxy answers in the upstream's place. Thrown inside src/network only, and caught by the guest's session. */
export class Refusal extends Error {
  readonly status: number;
  /** How it stands in the record: `denied` by decision, `failed` by circumstances. */
  readonly verdict: "denied" | "failed";
  readonly hint: string | undefined;

  constructor(status: number, verdict: "denied" | "failed", reason: string, hint?: string) {
    super(reason);
    this.name = "Refusal";
    this.status = status;
    this.verdict = verdict;
    this.hint = hint;
  }
}

export const badRequest = (reason: string, hint?: string): Refusal => new Refusal(400, "denied", reason, hint);

export const badUpstream = (reason: string): Refusal => new Refusal(502, "failed", reason);

const PREFIXES: Readonly<Record<number, string>> = {
  400: "Egress request refused",
  403: "Egress denied by",
  408: "Egress request timed out",
  501: "Egress request refused",
  502: "Egress failed",
  503: "Egress budget exceeded",
  504: "Egress timed out",
};

/** The whole answer. The reason stands in the status line too, because clients show that and hide the body. */
export function renderRefusal(refusal: Refusal): string {
  const prefix = PREFIXES[refusal.status] ?? STATUS_CODES[refusal.status] ?? "Egress failed";
  const phrase = `${prefix}${refusal.status === 403 ? "" : ":"} ${toPhrase(refusal.message)}`;
  const body = `${phrase}\n${refusal.hint ? `${refusal.hint}\n` : ""}`;
  return [
    `HTTP/1.1 ${refusal.status} ${phrase}`,
    "Content-Type: text/plain; charset=utf-8",
    `Content-Length: ${Buffer.byteLength(body)}`,
    "Connection: close",
    "",
    body,
  ].join("\r\n");
}

function toPhrase(text: string): string {
  return text.replaceAll(/[^ -~]/g, "?").slice(0, 512);
}
