import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { SweepEvent } from "../../src/app.ts";
import { Executor } from "../../src/executor/executor.ts";
import { makeOwnPlace } from "../../src/executor/lease-place.ts";
import type { TaskInput } from "../../src/model/task.ts";
import { GrantedObjects } from "../../src/store/artifacts/object-access.ts";
import { lacks } from "../support/needs.ts";
import { expectGone } from "../support/remains.ts";
import { holdDevice, type ImpatientFleet, openImpatientFleet, sweepAway } from "../support/slow-removal.ts";

const TASK: TaskInput = {
  node_type: "file",
  bare: true,
  tool_calls: [{ tool: "run_command", input: { command: "echo done" } }],
};

describe.skipIf(lacks(process.getuid?.() === 0, "root"))("a task whose sandbox cannot be removed", () => {
  let parts: ImpatientFleet;
  let executor: Executor;
  const events: SweepEvent[] = [];
  const listen = (event: unknown): void => void events.push(event as SweepEvent);

  beforeAll(async () => {
    parts = await openImpatientFleet();
    const { config, store, artifacts } = parts.app;
    const objects = new GrantedObjects(config.artifacts);
    executor = new Executor(parts.fleet, store, { artifacts, keep: "asked", objects, renderReport: () => "" });
    subscribe("paddock:sweep", listen);
  });
  afterAll(async () => {
    unsubscribe("paddock:sweep", listen);
    await parts.fleet[Symbol.asyncDispose]();
  });

  test("is what its calls made of it; the removal is told, and is the sweep's", async () => {
    let device: Disposable | undefined;
    const place = makeOwnPlace(parts.fleet, {
      beforeClose: async ({ sandbox }) => {
        device = holdDevice(sandbox.id);
      },
    });
    const result = await executor.runTask(TASK, { place });
    const id = result.tool_calls[0]?.sandbox_id ?? "";
    expect(device).toBeDefined();
    expect(result).toMatchObject({ status: "completed", exit_code: 0 });
    expect(result).not.toHaveProperty("error");
    expect(parts.app.store.read(result.task_id).at(-1)).toMatchObject({ line: "end", result: { status: "completed" } });
    const detail = expect.stringContaining("loop device") as string;
    expect(events).toMatchObject([{ root: parts.app.config.home.root, report: { failed: [{ id, detail }] } }]);
    device?.[Symbol.dispose]();
    await sweepAway(parts.fleet, id);
    await expectGone([id]);
  });

  test("ends with the error of its work, not with that of the removal", async () => {
    let device: Disposable | undefined;
    const place = makeOwnPlace(parts.fleet, {
      beforeClose: async ({ sandbox }) => {
        device = holdDevice(sandbox.id);
        throw new Error("the copy failed");
      },
    });
    const result = await executor.runTask(TASK, { place });
    expect(result).toMatchObject({ status: "failed", error: { message: "the copy failed" } });
    device?.[Symbol.dispose]();
    await sweepAway(parts.fleet, result.tool_calls[0]?.sandbox_id ?? "");
  });
});
