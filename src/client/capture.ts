import { PaddockError, toPaddockError } from "../errors/error.ts";
import type { ToolCallId } from "../model/ids.ts";
import type { Limits } from "../model/limits.ts";
import type { NodeType } from "../model/node-type.ts";
import type { PlannedCall, Tool, ToolContext, ToolOutcome } from "../tools/tool.ts";
import { makeRemoteSandbox, type RemoteBackend } from "./remote-sandbox.ts";
import type { RunSpec } from "./run-spec.ts";

/** How a call is done on a foreign server: by our runner there, by the server's file interface, or not at all. */
export type RemoteStep =
  | { readonly kind: "run"; readonly spec: RunSpec }
  | { readonly kind: "files" }
  | { readonly kind: "refused"; readonly error: PaddockError };

export interface StepInput {
  readonly tool: Tool;
  readonly call: PlannedCall;
  readonly callId: ToolCallId;
  readonly nodeType: NodeType;
  readonly limits: Limits;
}

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
 * Finds out what a call will ask of its sandbox, by letting its tool ask: so all calls can be staged on the server before the first one
 * runs, word for word, and no model has to copy them.
 */
export async function captureStep(input: StepInput): Promise<RemoteStep> {
  if (NEVER.has(input.tool.name))
    return refused(new PaddockError("unsupported", `${input.tool.name} does not run on a remote server`));
  try {
    await runTool(input, NOTING, timeoutOf(input), new AbortController().signal);
  } catch (thrown) {
    return thrown instanceof Noted ? thrown.step : refused(toPaddockError(thrown));
  }
  return refused(new PaddockError("unsupported", `${input.tool.name} does nothing that a remote server could do`));
}

const refused = (error: PaddockError): RemoteStep => ({ kind: "refused", error });

export const timeoutOf = ({ call, limits }: StepInput): number => call.timeoutMs ?? limits.callTimeoutMs;

/** Runs the tool over `backend`; usage is left out, for nobody measured it. */
export async function runTool(
  { tool, call, callId, nodeType, limits }: StepInput,
  backend: RemoteBackend,
  deadlineMs: number,
  signal: AbortSignal,
): Promise<ToolOutcome> {
  const context: ToolContext = {
    sandbox: makeRemoteSandbox(backend, callId, limits.outputBytes),
    callId,
    nodeType,
    limits,
    signal,
    deadlineMs,
    mark: () => undefined,
  };
  const { usage: _unknown, ...outcome } = await tool.run(fromInside(tool, call.input), context);
  return outcome;
}

/** A server on a port of the sandbox is called from inside, there being no way in. */
function fromInside(tool: Tool, input: unknown): unknown {
  if (tool.name !== "http_request") return input;
  const { port, url, ...rest } = input as { readonly port?: number; readonly url: string };
  return port === undefined ? input : { ...rest, url: new URL(url, `http://127.0.0.1:${port}`).href };
}
