// Evaluates guest code and gets at the value of its last expression. Three ways, by what the code contains:
//   script   a vm.Script: everything that needs neither of the other two
//   await    V8's own REPL mode through an in-process inspector session: top-level await; and whatever runs in a context,
//            since it also lets a later run declare a name again
//   module   an ES module: static import and export
import inspector from "node:inspector";
import vm from "node:vm";
import { DYNAMIC_IMPORT, rewriteImports } from "./imports.mjs";
import { defineGlobals, runAsModule } from "./modules.mjs";
import { sendBegun } from "./payload.mjs";

const importModuleDynamically = vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER;
const MODULE_ONLY = /^(?:Cannot use import statement outside|Unexpected token 'export'|Cannot use 'import\.meta')/;
const AWAIT = /\bawait\b|^Unexpected reserved word/;
const STRICT = /^(?:\s|\/\/[^\n]*\n|\/\*[\s\S]*?\*\/)*(['"])use strict\1/;
const OBJECT_LITERAL = /^\s*\{[\s\S]*\}\s*$/;

const INTERRUPTED = "ERR_SCRIPT_EXECUTION_INTERRUPTED";
const FORGET_MS = 5;
const pause = new Int32Array(new SharedArrayBuffer(4));

const session = new inspector.Session();
const holder = { value: undefined, run: undefined };
let holderId;

/** What code is not in any file, by the name shown, and the names under which Node's stacks know it. */
export const sources = { code: new Map(), shown: new Map() };

/** Connects the inspector session (it opens no port and starts no thread) and brings Node past its experimental warning. */
export async function prepareEvaluation() {
  session.connect();
  globalThis[DYNAMIC_IMPORT] = holder;
  session.post("Runtime.evaluate", { expression: DYNAMIC_IMPORT }, (_error, { result }) => {
    holderId = result.objectId;
  });
  delete globalThis[DYNAMIC_IMPORT];
  const { emitWarning } = process;
  process.emitWarning = () => {};
  await new vm.Script('import("node:path")', { importModuleDynamically }).runInThisContext();
  process.emitWarning = emitWarning;
}

/** Runs the code once: `{ mode, outcome }`, where the outcome is `{ value }` or a promise of it. */
export function evaluateOnce(code, file) {
  sources.code.set(file, code);
  const { mode, run } = chooseMode(code, file);
  return { mode, outcome: run() };
}

/** Runs the code so that its declarations stay for the next run. */
export async function evaluateInContext(code, file) {
  sources.code.set(file, code);
  const rewritten = rewriteImports(code);
  const failure = findSyntaxError(rewritten, file);
  if (failure !== null && MODULE_ONLY.test(failure.message)) {
    sendBegun();
    return evaluateModule(code, file);
  }
  if (failure !== null) throw failure;
  const isObject = OBJECT_LITERAL.test(code) && parse(`(${code}\n)`, file) === null;
  return evaluateByInspector(isObject ? `(${rewritten}\n)` : rewritten, file, sendBegun);
}

function chooseMode(code, file) {
  try {
    const script = compileScript(code, file);
    return { mode: "script", run: () => ({ value: script.runInThisContext() }) };
  } catch (error) {
    if (MODULE_ONLY.test(error.message)) return { mode: "module", run: () => evaluateModule(code, file) };
    if (error.message === "Illegal return statement") {
      const body = vm.compileFunction(code, [], { filename: file, importModuleDynamically });
      return { mode: "script", run: () => ({ value: body() }) };
    }
    const failure = findSyntaxError(code, file);
    if (failure === null) return { mode: "await", run: () => evaluateByInspector(`{${rewriteImports(code)}\n}`, file) };
    if (MODULE_ONLY.test(failure.message)) return { mode: "module", run: () => evaluateModule(code, file) };
    throw failure;
  }
}

/**
 * The code in a block of its own: at the top of a script, `const URL = "..."` would replace the global `URL` for every
 * module of the process. A block has the value of its last statement too.
 */
function compileScript(code, file) {
  const plain = new vm.Script(code, { filename: file, importModuleDynamically });
  const wrapped = [`${STRICT.test(code) ? '"use strict";' : ""}{\n${code}\n}`];
  if (OBJECT_LITERAL.test(code)) wrapped.unshift(`(\n${code}\n)`);
  for (const source of wrapped) {
    try {
      // The opening line stands before line 1, so that places and Node's source excerpts are those of the code.
      return new vm.Script(source, { filename: file, lineOffset: -1, importModuleDynamically });
    } catch {
      // `var f; function f() {}` is legal at the top of a script only, and not every {...} is an object.
    }
  }
  return plain;
}

function parse(code, file, lineOffset = 0) {
  try {
    new vm.Script(code, { filename: file, lineOffset, importModuleDynamically });
    return null;
  } catch (error) {
    return error;
  }
}

/** What is wrong with code that may await; the function around it is not let into the error where that can be helped. */
function findSyntaxError(code, file) {
  const failure = parse(`async () => {\n${code}\n}`, file, -1);
  const plain = failure === null ? null : parse(code, file);
  return plain === null || AWAIT.test(plain.message) ? failure : plain;
}

async function evaluateModule(code, file) {
  try {
    const namespace = await runAsModule(code, file, (url) => sources.shown.set(url, file));
    return { value: namespace.default };
  } catch (error) {
    // Node keeps the place of a module's syntax error to itself.
    const placed = error?.name === "SyntaxError" ? findSyntaxError(rewriteImports(code), file) : null;
    throw placed?.message === error?.message ? placed : error;
  }
}

/** In an object, because a promise of a promise cannot be kept. */
function evaluateByInspector(code, file, begin = () => {}) {
  defineDynamicImport();
  const expression = `${code}\n//# sourceURL=${file.replaceAll(/\s/g, "%20")}`;
  return new Promise((resolve, reject) => {
    holder.run = () => {
      begin();
      session.post("Runtime.evaluate", { expression, replMode: true, awaitPromise: true }, (error, response) => {
        // The only way in which this command fails: SIGINT terminated it.
        if (error) reject(makeInterrupt());
        else if (response.exceptionDetails) reject(readRemote(response.exceptionDetails.exception));
        else resolve({ value: readRemote(response.result) });
      });
    };
    try {
      runInterruptible();
    } catch (error) {
      reject(error.code === INTERRUPTED ? makeInterrupt() : error);
    }
  });
}

/**
 * Takes what Node still holds of an interrupt that came too late for its run: in its event loop, which may have taken in the next
 * request before, and in the thread that watches for it, which wakes up in the next script.
 */
export async function forgetInterrupts() {
  for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setImmediate(resolve));
  holder.run = () => Atomics.wait(pause, 0, 0, FORGET_MS);
  for (let isOver = false; !isOver; ) {
    try {
      runInterruptible();
      isOver = true;
    } catch (error) {
      if (error.code !== INTERRUPTED) throw error;
    }
  }
}

export function makeInterrupt() {
  const error = new Error("the run was interrupted");
  error.name = "Interrupt";
  error.stack = `${error.name}: ${error.message}`;
  return error;
}

let runInterruptible = () => holder.run();

/**
 * From now on SIGINT ends the synchronous part of a run, once `sendBegun` has said so: Node watches for it only while a
 * script runs. While it stops watching (some 0.1 ms) a signal is lost: who interrupts sends it again if no result follows.
 */
export function enableInterrupts() {
  const options = { filename: import.meta.url };
  const call = new vm.Script(`${DYNAMIC_IMPORT}()`, options);
  runInterruptible = () => {
    const dynamicImport = globalThis[DYNAMIC_IMPORT];
    const run = () => {
      defineGlobals({ [DYNAMIC_IMPORT]: dynamicImport });
      holder.run();
    };
    defineGlobals({ [DYNAMIC_IMPORT]: run });
    try {
      call.runInThisContext({ breakOnSigint: true });
    } finally {
      if (process.listenerCount("SIGINT") > 1) listenAgain();
    }
  };
}

/** To listeners that the code added: Node lets SIGINT end the process after a script during which it began to listen. */
function listenAgain() {
  const listeners = process.rawListeners("SIGINT");
  process.removeAllListeners("SIGINT");
  for (const listener of listeners) process.addListener("SIGINT", listener);
}

function defineDynamicImport() {
  defineGlobals({
    [DYNAMIC_IMPORT]: vm.compileFunction("return import(specifier, options)", ["specifier", "options"], {
      importModuleDynamically,
    }),
  });
}

/** The value itself behind the inspector's description of it. */
function readRemote({ type, value, unserializableValue, objectId }) {
  if (objectId === undefined) {
    if (unserializableValue === undefined) return type === "undefined" ? undefined : value;
    return type === "bigint" ? BigInt(unserializableValue.slice(0, -1)) : Number(unserializableValue);
  }
  const functionDeclaration = "function (value) { this.value = value; }";
  session.post("Runtime.callFunctionOn", { objectId: holderId, functionDeclaration, arguments: [{ objectId }] });
  session.post("Runtime.releaseObject", { objectId });
  const found = holder.value;
  holder.value = undefined;
  return found;
}
