// Uncaught errors: as text for stderr and as a structure for the result, both without the runner's own frames.
import fs from "node:fs";
import { fileURLToPath } from "node:url";
import util from "node:util";

const RUNNERS_URL = new URL(".", import.meta.url).href;
const HOOKS_FILE = "node:internal/modules/customization_hooks";
const MAX_FRAMES = 50;
const MAX_SOURCE_BYTES = 1 << 20;
const FRAME_PATTERN = /^\s+at (?:(?<name>.*?) \()?(?<file>[^()]+?):(?<line>\d+):\d+\)?$/;
const INTERNAL_PATTERN = / \(?(?:node:[^)]*|<anonymous>)\)?$/;

/** Drops the runner's frames, Node's frames that called into the guest's code, and a source excerpt of the runner. */
export function trimStack(error) {
  if (!util.types.isNativeError(error) || typeof error.stack !== "string") return error;
  const lines = error.stack.split("\n");
  const isFrame = (line) => line.startsWith("    at ");
  const kept = lines.filter((line) => !(isFrame(line) && (line.includes(RUNNERS_URL) || line.includes(HOOKS_FILE))));
  while (isFrame(kept.at(-1)) && INTERNAL_PATTERN.test(kept.at(-1))) kept.pop();
  if (kept[0]?.startsWith(RUNNERS_URL)) kept.splice(0, kept.indexOf("") + 1);
  if (kept.length < lines.length) error.stack = kept.join("\n");
  if (error.cause !== undefined && error.cause !== error) trimStack(error.cause);
  return error;
}

/** One blocking write: `console` may be replaced, and an asynchronous stream would be lost at exit. */
export function printError(error) {
  const text = util.types.isNativeError(error) ? showError(error) : `Uncaught ${util.inspect(error)}`;
  try {
    fs.writeSync(2, `${text}\n`);
  } catch {
    // Nobody reads standard error any more.
  }
}

/** `inspect` adds causes and properties, but puts an error without frames into brackets. */
function showError(error) {
  return /^ {4}at /m.test(error.stack) ? util.inspect(error) : String(error.stack);
}

/** `sources` maps names to code that is in no file. */
export function describeError(error, sources) {
  if (!util.types.isNativeError(error)) return { name: "Error", message: util.inspect(error), traceback: [] };
  const stack = typeof error.stack === "string" ? error.stack : "";
  const frames = stack.split("\n").flatMap((line) => describeFrame(line, sources));
  if (error.name === "SyntaxError") frames.unshift(...describeSyntaxLine(stack, sources));
  return { name: String(error.name), message: String(error.message), traceback: frames.slice(0, MAX_FRAMES).reverse() };
}

function describeFrame(text, sources) {
  const found = FRAME_PATTERN.exec(text)?.groups;
  if (found === undefined || found.file.startsWith("node:")) return [];
  const file = found.file.replace(/^async /, "");
  const name = found.name?.replace(/^async /, "") ?? "<main>";
  return [makeFrame(file, Number(found.line), name === "eval" ? "<main>" : name, sources)];
}

/** Node puts the place of a syntax error on the first line of the stack. */
function describeSyntaxLine(stack, sources) {
  const found = /^(?<file>[^\n]+?):(?<line>\d+)\n/.exec(stack)?.groups;
  return found === undefined || /^(?:<|node:)/.test(found.file)
    ? []
    : [makeFrame(found.file, Number(found.line), "<main>", sources)];
}

function makeFrame(place, line, name, sources) {
  const file = sources.shown.get(place) ?? place;
  const source = sources.code.get(file) ?? readSource(file);
  return { file, line, function: name, text: (source.split("\n", line)[line - 1] ?? "").trim() };
}

function readSource(file) {
  try {
    const path = file.startsWith("file:") ? fileURLToPath(file) : file;
    const stat = fs.statSync(path);
    return stat.isFile() && stat.size <= MAX_SOURCE_BYTES ? fs.readFileSync(path, "utf8") : "";
  } catch {
    return "";
  }
}
