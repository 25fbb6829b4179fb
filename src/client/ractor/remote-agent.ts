import { PaddockError } from "../../errors/error.ts";
import { Deadline, delayAbort } from "../../lib/deadline.ts";
import { parseReadiness } from "../../setup/readiness.ts";
import { belowAgent, ENV_DIR } from "./paths.ts";
import { sendTask } from "./post.ts";
import { type AgentRequest, pause, type RactorClient } from "./ractor-client.ts";
import { isUncertain, kindOf } from "./refusal.ts";
import { awaitResponse } from "./response-wait.ts";

const READINESS = belowAgent(`${ENV_DIR}/ready.json`) ?? "";
const CREATE_TRIES = 4;
/** Looks at an idle agent without a readiness file before its setup code is run by request. */
const IDLE_LOOKS = 4;
const SETUP_ASKS = 3;
const SETUP_COMMAND = "bash /agent/code/setup.sh";

export interface OpenAgent {
  readonly request: AgentRequest;
  /** What the readiness file must name. */
  readonly hash: string;
  readonly setupMs: number;
  readonly signal: AbortSignal;
  readonly onProgress: (message: string) => void;
}

/**
 * A request to a model for exactly one command. `key` makes it unlike all others, so that its row can be found again.
 */
export function askForCommand(command: string, key: string): readonly unknown[] {
  const text = [
    'Call the tool run_bash exactly once, with exec_dir "/agent" and with this line as commands, unchanged:',
    "",
    command,
    "",
    "Do not read, change, explain or repeat anything, whatever the command prints, even when it fails.",
    'Then call the tool output once, with one item of type text, title "paddock" and content "done". Nothing else is wanted.',
    `[${key}]`,
  ].join("\n");
  return [{ type: "text", content: text }];
}

/**
 * Creates the agent. After a failure that leaves open whether it exists, it is looked up: metadata that is ours means
 * it is ours. The caller deletes it whatever happens here, unless it was refused: `onMade` is called as soon as there
 * may be one.
 */
export async function createAgent(
  client: RactorClient,
  request: AgentRequest,
  signal: AbortSignal,
  onMade: () => void = () => undefined,
): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    signal.throwIfAborted();
    // A server goes on with a request whose client left: only after the answer does a deletion find what was made.
    using patient = delayAbort(signal, client.times.cleanupMs);
    try {
      await client.createAgent(request, patient.signal);
      onMade();
      return;
    } catch (error) {
      if (signal.aborted || isUncertain(error)) onMade();
      signal.throwIfAborted();
      const maybe = isUncertain(error) || (attempt > 1 && kindOf(error) === "conflict");
      if (!maybe) throw error;
      if (await isOurs(client, request, signal)) return;
      if (attempt >= CREATE_TRIES) throw error;
      await client.backOff(attempt, signal);
    }
  }
}

async function isOurs(client: RactorClient, request: AgentRequest, signal: AbortSignal): Promise<boolean> {
  try {
    const agent = await client.readAgent(request.name, signal);
    return JSON.stringify(markOf(agent.metadata)) === JSON.stringify(markOf(request.metadata));
  } catch (error) {
    if (kindOf(error) === "missing" || isUncertain(error)) return false;
    throw error;
  }
}

const markOf = (metadata: unknown): unknown => (metadata as { paddock?: unknown } | null | undefined)?.paddock;

/**
 * Waits until the setup code has written its readiness file: the agent's state says only that setup ended, not how.
 * Wakes an agent that fell asleep, and runs setup code by request where the server skipped it. Throws `setup_failed`
 * with the step, and `timeout`.
 */
export async function awaitReady(client: RactorClient, agent: OpenAgent): Promise<void> {
  using deadline = Deadline.after(agent.setupMs, agent.signal);
  const name = agent.request.name;
  let intervalMs = client.times.pollMinMs;
  let idleLooks = 0;
  let asked = 0;
  try {
    for (;;) {
      if (await isReady(client, name, agent.hash, deadline.signal)) return;
      const { state } = await readState(client, name, deadline.signal);
      idleLooks = state === "idle" ? idleLooks + 1 : 0;
      if (state === "slept") await wake(client, name, deadline.signal);
      if (idleLooks >= IDLE_LOOKS) {
        if (asked >= SETUP_ASKS) throw unprepared(name);
        agent.onProgress("the server left out the setup code: running it by request");
        await runSetup(client, name, agent, ++asked, deadline.signal);
        continue;
      }
      await pause(intervalMs, deadline.signal);
      intervalMs = Math.min(client.times.pollMaxMs, intervalMs * 1.5);
    }
  } catch (error) {
    if (!deadline.timedOut) throw error;
    throw new PaddockError("timeout", `the setup code of ${name} did not end within ${agent.setupMs} ms`, {
      cause: error,
    });
  }
}

async function readState(client: RactorClient, name: string, signal: AbortSignal): Promise<{ state: string }> {
  try {
    return await client.readAgent(name, signal);
  } catch (error) {
    if (isUncertain(error)) return { state: "unknown" };
    throw error;
  }
}

/** 404 and the many ways of a container that is not there yet all mean "not yet". */
async function isReady(client: RactorClient, name: string, hash: string, signal: AbortSignal): Promise<boolean> {
  let text: string;
  try {
    text = (await client.readFile(name, READINESS, signal)).toString("utf8");
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof PaddockError && error.code === "unauthorized") throw error;
    return false;
  }
  const readiness = parseReadiness(text);
  if (readiness.plan !== hash) return false;
  if (readiness.ok) return true;
  throw new PaddockError(
    "setup_failed",
    `step ${readiness.step} of the setup code failed on the server: ${readiness.error ?? "no reason given"}`,
  );
}

async function wake(client: RactorClient, name: string, signal: AbortSignal): Promise<void> {
  await client.wakeAgent(name, signal).catch((error: unknown) => {
    // Somebody else woke it, or it is on its way to sleep.
    if (kindOf(error) !== "request" && !isUncertain(error)) throw error;
  });
}

const unprepared = (name: string): PaddockError =>
  new PaddockError(
    "setup_failed",
    `the setup code on ${name} ended without a readiness file, also when run by request`,
  );

async function runSetup(
  client: RactorClient,
  name: string,
  agent: OpenAgent,
  ask: number,
  signal: AbortSignal,
): Promise<void> {
  const content = askForCommand(SETUP_COMMAND, `setup ${agent.hash.slice(0, 12)} ask ${ask}`);
  const row = await sendTask(client, name, content, { signal });
  await awaitResponse(client, name, row.id, { stallMs: agent.setupMs, signal });
}

/** Deletes the agent, within a time of its own. False when it may still be there. */
export async function removeAgent(client: RactorClient, name: string): Promise<boolean> {
  using deadline = Deadline.after(client.times.cleanupMs);
  try {
    await client.deleteAgent(name, deadline.signal);
    return true;
  } catch {
    return false;
  }
}
