import { guessType } from "../http/file-types.ts";

/** What pages load beyond the contract's own list. */
const MORE: Readonly<Record<string, string>> = {
  mjs: "application/javascript; charset=utf-8",
  webp: "image/webp",
  avif: "image/avif",
  ico: "image/x-icon",
  woff: "font/woff",
  woff2: "font/woff2",
  csv: "text/csv; charset=utf-8",
  pdf: "application/pdf",
  mp4: "video/mp4",
  webm: "video/webm",
  mp3: "audio/mpeg",
  wasm: "application/wasm",
};

export function guessContentType(path: string): string {
  const extension = /\.([^./]+)$/.exec(path)?.[1]?.toLowerCase() ?? "";
  return (Object.hasOwn(MORE, extension) ? MORE[extension] : undefined) ?? guessType(path);
}
