// Rich outputs by MIME type: what `display(...)` sends, and what a value offers through its display method.
import { sendRich } from "./payload.mjs";
import { formatValue } from "./result.mjs";

const DISPLAY_METHOD = Symbol.for("paddock.display");
const MIME_PATTERN = /^[a-z]+\/[a-z0-9.+-]+$/i;
const SIGNATURES = [
  ["image/png", Buffer.from("\x89PNG\r\n\x1a\n", "latin1")],
  ["image/jpeg", Buffer.from("\xff\xd8\xff", "latin1")],
];

/** The global `display(...values)`: bundles ({mime: data}), pictures in buffers, values with a display method, text. */
export function display(...values) {
  for (const value of values) {
    if (isBundle(value)) sendBundle(value);
    else if (!sendForms(value)) sendRich("text/plain", Buffer.from(formatValue(value) ?? "undefined"));
  }
}

/** Sends what a value offers besides text; a value whose method fails offers nothing. */
export function sendForms(value) {
  if (value instanceof Uint8Array) return sendPicture(value);
  try {
    const method = value?.[DISPLAY_METHOD];
    const bundle = typeof method === "function" ? method.call(value) : null;
    if (!isBundle(bundle)) return false;
    sendBundle(bundle);
    return true;
  } catch {
    return false;
  }
}

function sendPicture(bytes) {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found = SIGNATURES.find(([, signature]) => buffer.subarray(0, signature.length).equals(signature));
  if (found === undefined) return false;
  sendRich(found[0], buffer);
  return true;
}

function isBundle(value) {
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return false;
  const names = Object.keys(value);
  return names.length > 0 && names.every((name) => MIME_PATTERN.test(name));
}

function sendBundle(bundle) {
  for (const [mime, content] of Object.entries(bundle)) {
    const data = encodeForm(mime, content);
    if (data !== null) sendRich(mime, data);
  }
}

/** Text stays text, except that a picture given as text is base64 (what Jupyter's protocol carries). */
function encodeForm(mime, content) {
  if (content instanceof Uint8Array) return Buffer.from(content);
  if (typeof content === "string") {
    return Buffer.from(content, mime.startsWith("image/") && mime !== "image/svg+xml" ? "base64" : "utf8");
  }
  const json = JSON.stringify(content);
  return json === undefined ? null : Buffer.from(json);
}
