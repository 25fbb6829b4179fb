// The result of a run, made to fit its limit on the wire.
import util from "node:util";

const MAX_VALUE_BYTES = 58 << 10;
const MAX_MESSAGE_BYTES = 8 << 10;
const MAX_FRAME_TEXT_BYTES = 400;
const INSPECT_OPTIONS = { depth: 4, maxArrayLength: 1000, maxStringLength: MAX_VALUE_BYTES, breakLength: 100 };
const CUT_MARK = "...";

/** `exitCode` is what the process exits with, or in a context what it would have exited with. */
export function makeResult({ value = null, error = null, exitCode = 0, isTruncated = false }) {
  const fitted = value === null ? { text: null, isCut: false } : fitText(value, MAX_VALUE_BYTES);
  const wasErrorCut = error !== null && fitError(error);
  const truncated = isTruncated || fitted.isCut || wasErrorCut;
  return { value: fitted.text, error, truncated, exit_code: exitCode };
}

/** Strings as they are, nothing for `undefined`, the rest as the console shows it. */
export function formatValue(value) {
  if (value === undefined) return null;
  if (typeof value === "string") return value;
  try {
    return util.inspect(value, INSPECT_OPTIONS);
  } catch (error) {
    return `<a value whose inspection raised ${error?.name ?? "an error"}>`;
  }
}

function fitError(error) {
  let wasCut = false;
  const shorten = (holder, name, maxBytes) => {
    const { text, isCut } = fitText(holder[name], maxBytes);
    holder[name] = text;
    wasCut ||= isCut;
  };
  shorten(error, "name", MAX_FRAME_TEXT_BYTES);
  shorten(error, "message", MAX_MESSAGE_BYTES);
  for (const frame of error.traceback) {
    for (const name of ["file", "function", "text"]) shorten(frame, name, MAX_FRAME_TEXT_BYTES);
  }
  while (measure(JSON.stringify(error)) > MAX_VALUE_BYTES) {
    error.traceback.shift();
    wasCut = true;
  }
  return wasCut;
}

/** Cuts a text so that it takes at most that many bytes as ASCII JSON, which is the longest form it may travel in. */
function fitText(original, maxBytes) {
  let text = original.slice(0, maxBytes + 1).toWellFormed();
  let size = measure(JSON.stringify(text));
  if (size <= maxBytes) return { text, isCut: false };
  while (size > maxBytes) {
    text = text.slice(0, Math.min(text.length - 1, Math.floor((text.length * maxBytes) / size))).toWellFormed();
    size = measure(JSON.stringify(text)) + CUT_MARK.length;
  }
  return { text: text + CUT_MARK, isCut: true };
}

function measure(json) {
  return json.length + 5 * (json.match(/[\u0080-\uffff]/g)?.length ?? 0);
}
