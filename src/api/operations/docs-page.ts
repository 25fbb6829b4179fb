/** What the page reads of an OpenAPI document. */
export interface OpenApi {
  readonly info?: { readonly title?: string; readonly version?: string; readonly description?: string };
  readonly paths?: Readonly<Record<string, Readonly<Record<string, Operation | undefined>>>>;
}

type Content = Readonly<Record<string, { readonly schema?: unknown }>>;

interface Operation {
  readonly summary?: string;
  readonly description?: string;
  readonly tags?: readonly string[];
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly schema?: unknown }[];
  readonly requestBody?: { readonly content?: Content };
  readonly responses?: Readonly<Record<string, { readonly content?: Content }>>;
}

interface Entry extends Operation {
  readonly method: string;
  readonly path: string;
}

export const PAGE_STYLE =
  "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f23;background:#fff}" +
  "code,pre{font:13px/1.45 ui-monospace,monospace}pre{background:#f4f5f7;padding:.7rem;overflow:auto;max-height:24rem}" +
  "h2{margin-top:2.5rem;border-bottom:1px solid #ccc}summary{cursor:pointer;padding:.25rem 0}b{display:inline-block;min-width:4.5rem}" +
  "@media(prefers-color-scheme:dark){body{color:#e6e6e6;background:#16181b}pre{background:#24272b}a{color:#8ab4f8}}";

/** The API as one page: no scripts, nothing loaded from anywhere. */
export function renderPage(document: OpenApi): string {
  const groups = Object.groupBy(readEntries(document), ({ tags }) => tags?.[0] ?? "other");
  const sections = Object.entries(groups).map(
    ([tag, entries = []]) =>
      `<h2 id="${escapeHtml(tag)}">${escapeHtml(tag)}</h2>\n${entries.map(renderEntry).join("\n")}`,
  );
  const { title = "", version = "", description = "" } = document.info ?? {};
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)} API</title><style>${PAGE_STYLE}</style></head><body>
<h1>${escapeHtml(title)} API ${escapeHtml(version)}</h1>
<p>${escapeHtml(description)} The same as <a href="/openapi.json">OpenAPI 3.1</a>. Send a token as <code>Authorization: Bearer …</code>.</p>
${sections.join("\n")}
</body></html>
`;
}

function readEntries({ paths = {} }: OpenApi): Entry[] {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, operation]) =>
      operation === undefined || method === "head" ? [] : [{ ...operation, method: method.toUpperCase(), path }],
    ),
  );
}

function renderEntry({
  method,
  path,
  summary,
  description,
  parameters = [],
  requestBody,
  responses = {},
}: Entry): string {
  const fields = parameters.map(({ name, in: place, schema }) => `${name} (${place}): ${JSON.stringify(schema ?? {})}`);
  const parts = [
    description === undefined ? "" : `<p>${escapeHtml(description)}</p>`,
    fields.length === 0 ? "" : `<p>Parameters</p><pre>${escapeHtml(fields.join("\n"))}</pre>`,
    ...renderContent("Body", requestBody?.content),
    ...Object.entries(responses).flatMap(([status, { content }]) => renderContent(`Answer ${status}`, content)),
  ];
  return `<details><summary><b>${escapeHtml(method)}</b><code>${escapeHtml(path)}</code> ${escapeHtml(summary ?? "")}</summary>${parts.join("")}</details>`;
}

const renderContent = (label: string, content: Content | undefined): string[] =>
  Object.entries(content ?? {}).map(
    ([type, { schema }]) =>
      `<p>${escapeHtml(label)} <code>${escapeHtml(type)}</code></p><pre>${escapeHtml(JSON.stringify(schema ?? {}, null, 2))}</pre>`,
  );

const ESCAPES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, (character) => ESCAPES[character] ?? "");
