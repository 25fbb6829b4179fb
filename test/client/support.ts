import { tmpdir } from "node:os";
import { join } from "node:path";
import { RactorClient } from "../../src/client/ractor/ractor-client.ts";
import type { RemoteOptions } from "../../src/client/ractor/remote-options.ts";
import { type RemoteRunOptions, runRemotely } from "../../src/client/remote-place.ts";
import { checkInput } from "../../src/executor/input-check.ts";
import type { TaskResult } from "../../src/model/result.ts";
import { TaskInput, type TaskRequest } from "../../src/model/task.ts";
import { TaskStore } from "../../src/store/task-store.ts";
import type { StockServer } from "./stock-server.ts";

/** The waits of real servers, scaled down. */
export const QUICK = {
  requestMs: 1500,
  graceMs: 700,
  pollMinMs: 5,
  pollMaxMs: 40,
  retryBaseMs: 10,
  retryCapMs: 50,
  cleanupMs: 5000,
};

export function openClient(server: StockServer, times: Partial<typeof QUICK> = {}): RactorClient {
  return new RactorClient({ url: server.url, token: "good-token", times: { ...QUICK, ...times } });
}

/** Made with the first task; the test file that runs tasks removes it. */
export const TASKS = join(tmpdir(), `paddock-remote-tasks-${process.pid}`);
export const store = new TaskStore(TASKS);

export async function runOn(
  server: StockServer,
  task: TaskRequest,
  remote: Partial<RemoteOptions> = {},
  options: RemoteRunOptions = {},
): Promise<TaskResult> {
  const whole = { url: server.url, token: "good-token", times: QUICK, setupTimeoutMs: 60_000, ...remote };
  return await runRemotely(checkInput(TaskInput, task, "task"), whole, store, options);
}
