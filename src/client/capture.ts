import { PaddockError, toPaddockError } from "../errors/error.ts";
import type { CallStep, TaskScope } from "../executor/scope.ts";
import type { Tool, ToolOutcome } from "../tools/tool.ts";
import { makeRemoteTarget, type RemoteBackend } from "./remote-target.ts";
import type { RunSpec } from "./run-spec.ts";

/** How a call is done on a foreign server: by our runner there, by the server's file interface, or not at all. */
export type RemoteStep =
  | { readonly kind: "run"; readonly spec: RunSpec }
  | { readonly kind: "files" }
  | { readonly kind: "refused"; readonly error: PaddockError };

/** Of a call that need not have begun. */
type CapturedCall = TaskScope & CallStep;

/** Thrown by the noting backend through the tool, which never sees it as an error of its own. */
class Noted extends Error {
  readonly step: RemoteStep;

  constructor(step: RemoteStep) {
    super("noted");
    this.step = step;
  }
}

const NOTING: RemoteBackend = {
  run: (spec) => Promise.reject(new Noted({ kind: "run", spec })),
  readFile: () => Promise.reject(new Noted({ kind: "files" })),
  list: () => Promise.reject(new Noted({ kind: "files" })),
};

/** Tools whose work depends on the operator's store, which a foreign server must not reach. */
const NEVER: ReadonlySet<string> = new Set(["s3_get", "s3_put"]);

/**
 * Finds out what a call will ask of its sandbox, by letting its tool ask: so all calls can be staged on the server
 * before the first one runs, word for word, and no model has to copy them.
 */
export async function captureStep(scope: CapturedCall): Promise<RemoteStep> {
  if (NEVER.has(scope.tool.name))
    return refused(new PaddockError("unsupported", `${scope.tool.name} does not run on a remote server`));
  try {
    await runTool(scope, NOTING);
  } catch (thrown) {
    return thrown instanceof Noted ? thrown.step : refused(toPaddockError(thrown));
  }
  return refused(new PaddockError("unsupported", `${scope.tool.name} does nothing that a remote server could do`));
}

const refused = (error: PaddockError): RemoteStep => ({ kind: "refused", error });

export const timeoutOf = ({ call, limits }: CapturedCall): number => call.timeoutMs ?? limits.callTimeoutMs;

/** Runs the tool over `backend`; usage is left out, for nobody measured it, and so are phases. */
export async function runTool(scope: CapturedCall, backend: RemoteBackend): Promise<ToolOutcome> {
  const { tool, call, callId, limits } = scope;
  const target = makeRemoteTarget(backend, callId, limits.outputBytes);
  const context = { ...scope, target, deadlineMs: timeoutOf(scope), mark: () => undefined };
  const { usage: _unknown, ...outcome } = await tool.run(fromInside(tool, call.input), context);
  return outcome;
}

/** A server on a port of the sandbox is called from inside, there being no way in. */
function fromInside(tool: Tool, input: unknown): unknown {
  if (tool.name !== "http_request") return input;
  const { port, url, ...rest } = input as { readonly port?: number; readonly url: string };
  return port === undefined ? input : { ...rest, url: new URL(url, `http://127.0.0.1:${port}`).href };
}
