const TEXT = "text/plain; charset=utf-8";

/** By extension, as the contract lists them; everything else is bytes. */
const TYPES: Readonly<Record<string, string>> = {
  html: "text/html; charset=utf-8",
  htm: "text/html; charset=utf-8",
  css: "text/css; charset=utf-8",
  js: "application/javascript; charset=utf-8",
  json: "application/json",
  md: TEXT,
  txt: TEXT,
  rs: TEXT,
  py: TEXT,
  ts: TEXT,
  sh: TEXT,
  yml: TEXT,
  yaml: TEXT,
  toml: TEXT,
  svg: "image/svg+xml",
  png: "image/png",
  jpg: "image/jpeg",
  jpeg: "image/jpeg",
  gif: "image/gif",
};

export function guessType(path: string): string {
  const extension = /\.([^./]+)$/.exec(path)?.[1]?.toLowerCase() ?? "";
  return (Object.hasOwn(TYPES, extension) ? TYPES[extension] : undefined) ?? "application/octet-stream";
}
