import { parseUntrustedJson } from "../../lib/json.ts";

export interface Fetched {
  /** Where the answer came from, after redirects. */
  readonly url: string;
  readonly contentType: string;
  readonly text: string;
  /** Every URL on the way, the asked one first. */
  readonly visited: readonly string[];
}

/** Fetches a page of a registry as the host itself; throws when there is none. */
export type FetchText = (url: string, accept: string) => Promise<Fetched>;

const PIP_ACCEPT = "application/vnd.pypi.simple.v1+json, text/html;q=0.5";

/** URLs a package index sends pip to: its own redirects and the files that one of its pages links. */
export async function listPipFileUrls(indexUrl: string, fetchText: FetchText): Promise<string[]> {
  const page = await fetchText(`${indexUrl.replace(/\/+$/, "")}/pip/`, PIP_ACCEPT);
  const links = page.contentType.includes("json") ? readJsonLinks(page.text) : readHtmlLinks(page.text);
  return [...page.visited, ...links.flatMap((link) => resolveUrl(link, page.url))];
}

/** URLs an npm registry sends npm to. npm itself replaces the public registry's host by the configured one. */
export async function listNpmTarballUrls(registry: string, fetchText: FetchText): Promise<string[]> {
  const page = await fetchText(`${registry.replace(/\/+$/, "")}/ms/latest`, "application/json");
  const tarball = readField(readField(parseUntrustedJson(page.text), "dist"), "tarball");
  const urls = typeof tarball === "string" ? resolveUrl(tarball, page.url) : [];
  return [...page.visited, ...urls.filter((url) => new URL(url).hostname !== "registry.npmjs.org")];
}

function readJsonLinks(text: string): string[] {
  const files = readField(parseUntrustedJson(text), "files");
  if (!Array.isArray(files)) return [];
  return files.map((file) => readField(file, "url")).filter((url) => typeof url === "string");
}

function readHtmlLinks(text: string): string[] {
  return [...text.matchAll(/<a\s[^<>]*?href\s*=\s*["']([^"']+)["']/gi)].map((match) => match[1] ?? "");
}

function readField(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>)[key] : undefined;
}

function resolveUrl(link: string, base: string): string[] {
  const url = URL.parse(link.replaceAll("&amp;", "&"), base);
  return url && /^https?:$/.test(url.protocol) ? [url.href] : [];
}
