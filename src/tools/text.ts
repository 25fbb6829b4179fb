export interface EncodedText {
  readonly content: string;
  readonly encoding: "utf8" | "base64";
}

/**
 * Bytes for JSON: as text, as base64, or as whichever keeps every byte. A character cut in two by `truncated` is left
 * out of text.
 */
export function decodeText(bytes: Buffer, encoding: "auto" | "utf8" | "base64", truncated: boolean): EncodedText {
  if (encoding === "utf8") return { content: bytes.toString("utf8"), encoding: "utf8" };
  if (encoding === "auto") {
    const content = decodeUtf8(bytes, truncated);
    if (content !== undefined) return { content, encoding: "utf8" };
  }
  return { content: bytes.toString("base64"), encoding: "base64" };
}

/** Strict UTF-8; undefined when the bytes are something else. */
function decodeUtf8(bytes: Buffer, truncated: boolean): string | undefined {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  try {
    return decoder.decode(bytes, { stream: truncated });
  } catch {
    return undefined;
  }
}
