import { uniqueName } from "../client/names.ts";
import { sendTask } from "../client/ractor/post.ts";
import { pause, type RactorClient } from "../client/ractor/ractor-client.ts";
import { createAgent } from "../client/ractor/remote-agent.ts";
import { awaitResponse } from "../client/ractor/response-wait.ts";
import { PaddockError } from "../errors/error.ts";
import { Deadline } from "../lib/deadline.ts";
import type { NodeType } from "../model/node-type.ts";

const READY_MS = 15 * 60_000;
const DAY_SECONDS = 86_400;
/** What pip and pandas need beyond the default. */
const PYTHON_MEMORY_BYTES = 1024 ** 3;
/** A look at a running task is held by the server for so long. */
export const WAIT_SECONDS = 30;

export const nameAgent = (part: string, nodeType: NodeType): string => uniqueName(`bench-${part}-${nodeType}`);

/**
 * Creates the agent and waits until it can take work. Returns the milliseconds of both; `onMade` as of `createAgent`.
 * Throws `timeout` after 15 minutes.
 */
export async function openAgent(
  client: RactorClient,
  name: string,
  nodeType: NodeType,
  signal: AbortSignal,
  onMade?: () => void,
): Promise<number> {
  using deadline = Deadline.after(READY_MS, signal);
  const begun = performance.now();
  const limits = nodeType === "python" ? { limits: { memory_bytes: PYTHON_MEMORY_BYTES } } : {};
  const request = {
    name,
    metadata: { paddock: name, node_type: nodeType, ...limits },
    tags: ["paddock-bench", nodeType],
    idle_timeout_seconds: DAY_SECONDS,
    busy_timeout_seconds: DAY_SECONDS,
    instructions: "Do what the task says with as few tool calls as it takes, in the folder you start in.",
  };
  try {
    await createAgent(client, request, deadline.signal, onMade);
    await awaitState(client, name, deadline.signal);
  } catch (error) {
    if (!deadline.timedOut) throw error;
    throw new PaddockError("timeout", `agent ${name} was not ready within ${READY_MS / 60_000} minutes`, {
      cause: error,
    });
  }
  return performance.now() - begun;
}

/** One that fell asleep takes work, too: the task itself then says what is wrong. */
async function awaitState(client: RactorClient, name: string, signal: AbortSignal): Promise<void> {
  let intervalMs = client.times.pollMinMs;
  while ((await client.readAgent(name, signal)).state === "init") {
    await pause(intervalMs, signal);
    intervalMs = Math.min(client.times.pollMaxMs, intervalMs * 1.5);
  }
}

/** The first task of a node type makes its template and warms its files: that belongs to no run. */
export async function warmUp(
  client: RactorClient,
  name: string,
  nodeType: NodeType,
  holdsLooks: boolean,
  signal: AbortSignal,
): Promise<string> {
  const content = [{ type: "text", content: WARM_UP[nodeType] }];
  const row = await sendTask(client, name, content, { signal });
  const hold = holdsLooks ? { waitSeconds: WAIT_SECONDS } : {};
  return (await awaitResponse(client, name, row.id, { stallMs: READY_MS, signal, ...hold })).status;
}

const WARM_UP: Readonly<Record<NodeType, string>> = {
  python: "```python\nprint('ready')\n```",
  javascript: "```javascript\nconsole.log('ready')\n```",
  file: "```bash\necho ready\n```",
  web: "```bash\necho ready\n```",
};
