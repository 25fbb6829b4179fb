// The JavaScript runner: started ahead of need, it blocks until its payload socket (descriptor 3) brings a request.
import path from "node:path";
import util from "node:util";
import {
  enableInterrupts,
  evaluateInContext,
  evaluateOnce,
  forgetInterrupts,
  makeInterrupt,
  prepareEvaluation,
  sources,
} from "./evaluate.mjs";
import { describeError, printError, trimStack } from "./failure.mjs";
import { configureModulePaths, defineCommonJs, defineGlobals } from "./modules.mjs";
import { configureNetwork, startNetworkUse, watchNetworkUse } from "./network.mjs";
import { beginRun, readRequestSync, readRequests, sendResult, wasTruncated } from "./payload.mjs";
import { formatValue, makeResult } from "./result.mjs";
import { display, sendForms } from "./rich.mjs";

const UNSETTLED_EXIT_CODE = 13;
const STACK_FRAMES = 20;

let env = { ...process.env };
let cwd = null;

/** Environment and folder of the request. In a context only what differs from the request before is set, so that what
 * guest code changed itself stays. */
function adopt(request) {
  for (const name of Object.keys(env)) if (!(name in request.env)) delete process.env[name];
  for (const [name, value] of Object.entries(request.env)) if (env[name] !== value) process.env[name] = value;
  if (request.cwd !== cwd) process.chdir(request.cwd);
  if (cwd === null) configureModulePaths(request.env);
  configureNetwork(request.env);
  if (request.code.includes("WebSocket")) startNetworkUse();
  ({ env, cwd } = request);
  process.argv = [process.execPath, path.resolve(request.file)];
}

function runOnce(request) {
  const run = { value: null, failure: null, isSent: false, mode: null };
  const send = () => {
    if (run.isSent) return;
    run.isSent = true;
    const exitCode = run.failure === null ? (process.exitCode ?? 0) : 1;
    const value = run.failure === null ? run.value : null;
    sendResult(makeResult({ value, error: run.failure, exitCode, isTruncated: wasTruncated() }));
  };
  process.on("uncaughtExceptionMonitor", (error) => {
    if (process.listenerCount("uncaughtException") === 0) run.failure ??= describeError(trimStack(error), sources);
  });
  process.on("exit", send);
  process.on("beforeExit", () => leave(run));
  const complete = (value) => {
    run.mode = null;
    run.value = formatValue(value);
    sendForms(value);
    // A rejection that nothing handles is known one turn later, and belongs into the result.
    setImmediate(send);
  };
  const fail = (event) => (error) => failMain(run, error, event);
  const settle = (value) =>
    util.types.isPromise(value) ? value.then(complete, fail("unhandledRejection")) : complete(value);
  try {
    const { mode, outcome } = evaluateOnce(request.code, request.file);
    run.mode = mode;
    if (util.types.isPromise(outcome)) outcome.then(({ value }) => settle(value), fail("unhandledRejection"));
    else settle(outcome.value);
  } catch (error) {
    fail("uncaughtException")(error);
  }
}

/** Ends as Node would, through the guest's own handlers if it has any, otherwise without Node's source excerpt: that
 * would show the runner. */
function failMain(run, error, event) {
  run.mode = null;
  if (process.listenerCount(event) + process.listenerCount("uncaughtException") > 0) {
    if (event === "unhandledRejection") void Promise.reject(error);
    else setImmediate(() => raise(error));
    return;
  }
  run.failure = describeError(trimStack(error), sources);
  printError(error);
  process.exit(1);
}

function raise(error) {
  throw error;
}

/** The event loop is empty. Leaving now skips the tear-down of the whole heap. */
function leave(run) {
  if (run.mode === "script") run.value = "Promise { <pending> }";
  else if (run.mode !== null) {
    process.exitCode ??= UNSETTLED_EXIT_CODE;
    process.stderr.write("Warning: Detected unsettled top-level await\n");
  }
  run.mode = null;
  if (process.listenerCount("beforeExit") === 1) process.exit();
}

async function serveContext(first) {
  let interrupt = () => {};
  const interruptible = (promise) => {
    const { promise: interrupted, reject } = Promise.withResolvers();
    interrupt = reject;
    return Promise.race([promise, interrupted]);
  };
  let isRunning = false;
  process.on("SIGINT", () => interrupt(makeInterrupt()));
  process.on("uncaughtException", (error) => (isRunning ? interrupt(error) : printError(trimStack(error))));
  process.on("exit", (exitCode) => isRunning && sendResult(makeResult({ exitCode, isTruncated: wasTruncated() })));
  enableInterrupts();
  // Asked for at once: a pending read keeps the process alive while a run waits for what never comes.
  const requests = readRequests();
  let upcoming = requests.next();
  for (let request = first; request !== undefined; request = (await upcoming).value) {
    if (request !== first) {
      upcoming = requests.next();
      if (request.isAfterInterrupt) await forgetInterrupts();
      adopt(request);
    }
    beginRun();
    isRunning = true;
    const result = await runInContext(request, interruptible);
    isRunning = false;
    interrupt = () => {};
    sendResult(makeResult({ ...result, isTruncated: wasTruncated() }));
  }
  process.exit(0);
}

async function runInContext({ code, file }, interruptible) {
  try {
    const outcome = await interruptible(evaluateInContext(code, file));
    const value = util.types.isPromise(outcome.value) ? await interruptible(outcome.value) : outcome.value;
    if (value !== undefined) defineGlobals({ _: value });
    sendForms(value);
    return { value: formatValue(value) };
  } catch (error) {
    printError(trimStack(error));
    return { error: describeError(error, sources), exitCode: 1 };
  }
}

/** Compiles and runs each path once, so that the first request does not pay for it. */
async function warmUp() {
  await prepareEvaluation();
  for (const code of ["({ a: [1] })", "await 1", "export default 1"]) {
    const { value } = await evaluateOnce(code, "warm-up.mjs").outcome;
    JSON.stringify(makeResult({ value: formatValue(value), error: describeError(trimStack(new Error("")), sources) }));
    sendForms(value);
  }
  sources.code.clear();
  sources.shown.clear();
  return [process.stdout, process.stderr];
}

await warmUp();
watchNetworkUse();
// More than Node's 10: Node's own frames and the runner's take their share before they are left out.
Error.stackTraceLimit = STACK_FRAMES;
defineGlobals({ display });
// From a turn of its own: guest code must not run inside the evaluation of this module.
setImmediate(() => {
  const request = readRequestSync();
  if (request === null) process.exit(0);
  adopt(request);
  defineCommonJs(request.file);
  if (request.isContext) void serveContext(request);
  else runOnce(request);
});
