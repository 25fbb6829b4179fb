import { PaddockError, toPaddockError } from "../errors/error.ts";
import type { CallScope } from "../executor/scope.ts";
import { tryJson } from "../lib/json.ts";
import { NO_OUTPUT } from "../model/record.ts";
import type { RemoteRecord } from "../model/remote.ts";
import { failedOutcome, textOutput } from "../tools/outcome.ts";
import type { ToolOutcome } from "../tools/tool.ts";
import { type RemoteStep, runTool, timeoutOf } from "./capture.ts";
import type { WireAccount } from "./ractor/account.ts";
import { AgentFiles } from "./ractor/agent-files.ts";
import { BASE } from "./ractor/paths.ts";
import { sendTask } from "./ractor/post.ts";
import type { RactorClient } from "./ractor/ractor-client.ts";
import { kindOf } from "./ractor/refusal.ts";
import { askForCommand } from "./ractor/remote-agent.ts";
import type { Response } from "./ractor/reply-schemas.ts";
import { awaitResponse } from "./ractor/response-wait.ts";
import { findSegmentResult, type SegmentResult } from "./ractor/segments.ts";
import { RunResult } from "./run-spec.ts";

/** How often a model is asked for one attempt. The runner runs it once, however often. */
const MAX_ASKS = 3;

/** What a call on a server works with. */
export interface RemoteSite {
  readonly client: RactorClient;
  readonly agent: string;
  readonly step: RemoteStep;
  readonly account: WireAccount;
  /** What the model and the server may take beside the call's own time. */
  readonly overheadMs: number;
}

export interface RemoteAttempt {
  readonly outcome: ToolOutcome;
  readonly source: RemoteRecord["source"];
  readonly result?: RunResult;
}

/** One try of one call. Never throws for what went wrong on the way: that is `lost` with the error. */
export async function attemptRemotely(scope: CallScope, site: RemoteSite, attempt: number): Promise<RemoteAttempt> {
  try {
    return await dispatch(scope, site, attempt);
  } catch (thrown) {
    return { outcome: failedOnTheWay(scope, thrown), source: "none" };
  }
}

async function dispatch(scope: CallScope, site: RemoteSite, attempt: number): Promise<RemoteAttempt> {
  const { step } = site;
  if (step.kind === "refused") return { outcome: inside(step.error), source: "none" };
  const files = new AgentFiles(site.client, site.agent, scope.signal);
  const backend = {
    run: () => Promise.reject(new PaddockError("internal", `${scope.tool.name} runs more than was staged`)),
    readFile: (path: string) => files.readFile(path),
    list: (path: string, depth: number, limit: number) => files.list(path, depth, limit),
  };
  if (step.kind === "files") return { outcome: await guard(() => runTool(scope, backend)), source: "files" };
  const reached = await reachResult(scope, site, attempt, files);
  if (!("ended" in reached)) return { outcome: fromSegment(scope, reached), source: "segments" };
  const answered = {
    ...backend,
    run: () => Promise.resolve(reached),
    // What the runner collected is gone from its place.
    readFile: (path: string) =>
      reached.collected == null ? files.readFile(path) : Promise.resolve(Buffer.from(reached.collected)),
  };
  return {
    outcome: await guard(() => runTool(scope, answered)),
    source: "runner",
    result: reached,
  };
}

/** The runner's result, asking again while the model did something else; else what the server's own segments say. */
async function reachResult(
  scope: CallScope,
  site: RemoteSite,
  attempt: number,
  files: AgentFiles,
): Promise<RunResult | SegmentResult> {
  const name = `${scope.index + 1}-${attempt}`;
  let last: Response | undefined;
  for (let ask = 1; ask <= MAX_ASKS; ask++) {
    last = await askOnce(scope, site, `${scope.index + 1} ${attempt}`, `${name} ask ${ask}`);
    const result = await readResult(files, name);
    if (result !== undefined) return result;
    const segment = findSegmentResult(last, name);
    if (segment !== undefined) return segment;
    if (last.status !== "completed") break;
  }
  throw new PaddockError(
    "remote_failed",
    `the server ended the task as ${last?.status ?? "unknown"} and shows no trace of call ${name}`,
    {
      context: { kind: "not_run" },
      hint: "The model behind the server did not do what it was asked; run the task again or on another server.",
    },
  );
}

async function askOnce(scope: CallScope, site: RemoteSite, call: string, key: string): Promise<Response> {
  const { client, agent, account } = site;
  const { signal } = scope;
  const command = `/usr/bin/python3 -I -B ${BASE}/run_call.py ${BASE} ${call}`;
  const content = askForCommand(command, `${scope.callId} ${key}`);
  const row = await sendTask(client, agent, content, {
    signal,
    mayClearContext: true,
    onBackOff: (delayMs) => account.backoffMs.push(delayMs),
  });
  account.responseIds.push(row.id);
  return await awaitResponse(client, agent, row.id, { stallMs: timeoutOf(scope) + site.overheadMs, signal });
}

async function readResult(files: AgentFiles, name: string): Promise<RunResult | undefined> {
  let text: string;
  try {
    text = (await files.readFile(`${BASE}/results/${name}.json`)).toString("utf8");
  } catch (error) {
    if (error instanceof PaddockError && error.code !== "unauthorized") return undefined;
    throw error;
  }
  const parsed = RunResult.safeParse(tryJson(text));
  return parsed.success && parsed.data.call === name ? parsed.data : undefined;
}

/** Output is at most 8,000 bytes and was cut by the server; nothing else is known. */
function fromSegment({ limits, tool }: CallScope, segment: SegmentResult): ToolOutcome {
  const { exitCode, stdout, stderr } = segment;
  const facts = {
    stdout: textOutput(stdout, limits.outputBytes),
    stderr: textOutput(stderr, limits.outputBytes),
    requestBytes: 0,
    responseBytes: 0,
  };
  if (exitCode !== undefined) return { ended: "exit", exitCode, ...facts };
  const error = new PaddockError("remote_failed", `the server does not say how ${tool.name} ended`, {
    context: { kind: "unknown_exit" },
  });
  return { ended: "lost", ...facts, error };
}

/** A tool's own failure (no such file, path refused) is the call's. What the server or the way to it did is not. */
async function guard(work: () => Promise<ToolOutcome>): Promise<ToolOutcome> {
  try {
    return await work();
  } catch (thrown) {
    const error = toPaddockError(thrown);
    if (["not_found", "file_error", "path_refused", "unsupported", "invalid_request"].includes(error.code))
      return inside(error);
    throw error;
  }
}

const inside = (error: PaddockError): ToolOutcome => failedOutcome(1, error.message, { error });

function failedOnTheWay({ signal }: CallScope, thrown: unknown): ToolOutcome {
  const empty = { stdout: NO_OUTPUT, stderr: NO_OUTPUT, requestBytes: 0, responseBytes: 0 };
  if (signal.aborted) return { ended: "cancel", ...empty };
  const error = toPaddockError(thrown);
  return kindOf(error) === "stalled" ? { ended: "deadline", ...empty, error } : { ended: "lost", ...empty, error };
}
