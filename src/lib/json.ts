/** Parses JSON from outside into null-prototype objects, so that no key of it can reach a prototype. */
export function parseUntrustedJson(text: string): unknown {
  return JSON.parse(text, (_key, value: unknown) =>
    typeof value === "object" && value !== null && !Array.isArray(value) ? Object.setPrototypeOf(value, null) : value,
  );
}

/** What is no JSON is undefined. */
export function tryJson(text: string): unknown {
  try {
    return parseUntrustedJson(text);
  } catch {
    return undefined;
  }
}
