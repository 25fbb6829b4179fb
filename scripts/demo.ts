/**
 * The main job on real data: the seven recipes as two chains, one file task and one web task, each in a sandbox of its
 * own. Prints the four metrics per task and per tool call and leaves an HTML report.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { createApp } from "../src/app.ts";
import { printSummary } from "../src/cli/render/summary.ts";
import { ProgressLine, say, style } from "../src/cli/render/terminal.ts";
import { PaddockError, toPaddockError } from "../src/errors/error.ts";
import type { TaskResult } from "../src/model/result.ts";
import { TaskInput } from "../src/model/task.ts";
import { type ReportTask, renderReport } from "../src/report/html.ts";
import { DATA_NAME, serveData } from "./demo/data-server.ts";
import { demoTasks } from "./demo/tasks.ts";

const REPORT_DIR = resolve(process.env["PADDOCK_DEMO_DIR"] ?? "reports");

await using data = await serveData();
await using app = await createApp({
  config: { trustedUpstreams: [{ name: DATA_NAME, port: data.port, address: "127.0.0.1" }] },
});
const interrupted = new AbortController();
process.once("SIGINT", () => interrupted.abort());
process.once("SIGTERM", () => interrupted.abort());

say(style("bold", "Paddock demo"));
const findings = await app.fleet.probeDriver();
const failed = findings.find((finding) => finding.status === "failed");
if (failed)
  throw new PaddockError(
    "driver_unavailable",
    `${failed.name}: ${failed.detail}`,
    failed.hint ? { hint: failed.hint } : {},
  );

const offline = await findOffline();
if (offline) {
  say(`${style("yellow", "no registry can be reached")}: ${offline.message}`);
  say("Running what needs none: the file task and the web task, both on bare nodes.");
}

const done: ReportTask[] = [];
for (const { title, task, needsRegistry } of demoTasks(data.port)) {
  if (interrupted.signal.aborted) break;
  if (offline && needsRegistry) {
    say(`\n${style("bold", title)}: left out, it needs a registry`);
    continue;
  }
  done.push({ title, result: await runTask(title, offline ? { ...task, bare: true } : task) });
}

mkdirSync(REPORT_DIR, { recursive: true });
const page = resolve(REPORT_DIR, "demo.html");
writeFileSync(page, renderReport(done, new Date()));
writeFileSync(resolve(REPORT_DIR, "demo.json"), JSON.stringify(done, null, 2));
const completed = done.filter(({ result }) => result.status === "completed").length;
say(`\n${completed} of ${done.length} tasks completed. Report with plots: ${page}`);
process.exitCode = completed === done.length && !interrupted.signal.aborted ? 0 : 1;

async function runTask(title: string, task: unknown): Promise<TaskResult> {
  say(`\n${style("bold", title)}`);
  const progress = new ProgressLine();
  const result = await app.executor.runTask(TaskInput.parse(task), {
    signal: interrupted.signal,
    watcher: {
      event: (event) => {
        if (event.type === "progress") progress.update(event.message);
        if (event.type === "call_started") progress.update(`${event.index + 1}. ${event.title}`);
      },
      call: () => progress.clear(),
    },
  });
  progress.clear();
  printSummary(result);
  return result;
}

/**
 * Builds the templates first, so that their making is visible and not part of a task; tells when no registry answers.
 */
async function findOffline(): Promise<PaddockError | undefined> {
  const progress = new ProgressLine();
  await app.fleet.start();
  try {
    for (const type of ["javascript", "web"] as const) {
      await app.fleet.templates.ensure(type, {
        signal: interrupted.signal,
        onProgress: (text) => progress.update(text),
      });
    }
    return undefined;
  } catch (thrown) {
    const error = toPaddockError(thrown);
    if (error.code !== "registry_unreachable") throw error;
    return error;
  } finally {
    progress.clear();
  }
}
