import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, symlinkSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterEach, beforeAll, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import type { Home } from "../../../src/config/home.ts";
import { removeFolder } from "../../../src/lib/remove-folder.ts";
import type { SandboxId } from "../../../src/model/ids.ts";
import { lacksEngine, testEngine } from "../../support/engine.ts";
import {
  isRunning as isProcessRunning,
  listLeftovers,
  listProcessesOf,
  makeHome,
  NOTHING_LEFT,
  openHarness,
  removeHome,
  until,
} from "../bubblewrap/harness.ts";
import { askEngine, ensureImage, isRunning, listEngineLeftovers } from "./containers.ts";
import { openHolder } from "./holding.ts";

const OWNER = fileURLToPath(new URL("./holder-owner.ts", import.meta.url));
/** What the launcher may take for the engine's part of a removal. */
const REMOVAL_MS = 15_000;

interface Owner {
  readonly id: SandboxId;
  readonly uid: number;
  readonly launcher: number;
  readonly process: ChildProcess;
}

/** An owner that has come to this step. */
async function startOwner(
  home: Home,
  socket: string,
  step: string,
  graceMs?: number,
  runtime?: string,
): Promise<Owner> {
  const plan = JSON.stringify({ until: step, graceMs, runtime });
  const child = spawn(process.execPath, [OWNER, home.root, socket, plan], { stdio: ["ignore", "pipe", "inherit"] });
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(line);
    if (line === step) break;
  }
  const id = (lines[0] ?? "") as SandboxId;
  const record = JSON.parse(readFileSync(join(home.owners, id), "utf8")) as { uid: number; launcher: { pid: number } };
  return { id, uid: record.uid, launcher: record.launcher.pid, process: child };
}

function readRunning(home: Home, id: SandboxId): { readonly pid: number; readonly cgroups: readonly string[] } {
  const record = JSON.parse(readFileSync(join(home.owners, id), "utf8")) as {
    processes: [number, number][];
    container: { cgroups: string[] };
  };
  return { pid: record.processes[0]?.[0] ?? -1, cgroups: record.container.cgroups };
}

const isEmptyGroup = (path: string): boolean =>
  !existsSync(path) || readFileSync(join(path, "cgroup.procs"), "utf8").trim() === "";

async function killOwner(owner: Owner, withLauncher = false): Promise<void> {
  if (withLauncher) process.kill(owner.launcher, "SIGKILL");
  owner.process.kill("SIGKILL");
  await once(owner.process, "exit");
  await until(() => !isProcessRunning(owner.launcher), REMOVAL_MS);
}

describe.skipIf(lacksEngine())("the death of an owner of containers", () => {
  let socket = "";
  let home: Home;

  beforeAll(async () => {
    socket = testEngine().socket;
    await ensureImage(socket);
  });

  beforeEach(() => {
    home = makeHome();
  });

  afterEach(() => removeHome(home));

  async function expectNothingLeft({ id, uid }: Owner): Promise<void> {
    expect(listProcessesOf(new Set([uid]))).toEqual([]);
    expect(listLeftovers(home)).toEqual(NOTHING_LEFT);
    expect(await listEngineLeftovers(socket, [id])).toEqual([]);
  }

  /** What is removed while its owner lives leaves the run folder to it. */
  const forgetRun = ({ id }: Owner): Promise<void> => removeFolder(join(home.run, id));

  const steps = ["held", "creating", "created", "starting", "running", "started", "removing"];

  test.each(steps)("SIGKILL of the owner (%s) leaves nothing", async (step) => {
    const owner = await startOwner(home, socket, step);
    await killOwner(owner);
    if (step === "removing") await forgetRun(owner);
    await expectNothingLeft(owner);
  });

  test.each(steps)(
    "SIGKILL of owner and launcher (%s): the next owner, under another driver, removes the rest",
    async (step) => {
      const owner = await startOwner(home, socket, step);
      await killOwner(owner, true);
      await using harness = openHarness({ home });
      const report = await harness.driver.reap();
      expect(report.failed).toEqual([]);
      expect([[owner.id], step === "removing" ? [] : [owner.id]]).toContainEqual(report.reaped);
      if (report.reaped.length === 0) await forgetRun(owner);
      await expectNothingLeft(owner);
    },
  );

  test.each([false, true])(
    "an adoptable container outlives its owner (launcher killed: %s) and is adopted once",
    async (withLauncher) => {
      const owner = await startOwner(home, socket, "started", 60_000);
      await killOwner(owner, withLauncher);
      await using first = await openHolder(home);
      await using second = await openHolder(home);
      expect(await first.reap()).toEqual({ reaped: [], failed: [] });
      expect(await isRunning(socket, owner.id)).toBe(true);
      const outcomes = await Promise.allSettled([first.adopt(owner.id), second.adopt(owner.id)]);
      const winner = outcomes[0]?.status === "fulfilled" ? first : second;
      const won = outcomes.find(({ status }) => status === "fulfilled");
      const lost = outcomes.find(({ status }) => status === "rejected");
      expect(won).toMatchObject({
        value: {
          held: { uid: owner.uid, generation: 1, distinctUid: true, workspace: { kind: "loop" } },
          facts: { pid: expect.any(Number), containerId: expect.stringMatching(/^[0-9a-f]{64}$/) },
          payload: { key: "00" },
          container: { name: `paddock-${owner.id}`, socket },
          socketDir: join(home.run, owner.id, "socket"),
        },
      });
      expect(lost).toMatchObject({ reason: { code: "adoption_refused" } });
      expect(await second.reap()).toEqual({ reaped: [], failed: [] });
      await winner.remove(owner.id, { keepWorkspace: false, containerRemoved: false });
      await forgetRun(owner);
      await expectNothingLeft(owner);
      await expect(first.adopt(owner.id)).rejects.toMatchObject({ code: "not_found" });
    },
  );

  test("nobody adopts a sandbox whose owner lives, and nobody reaps it", async () => {
    const owner = await startOwner(home, socket, "started", 60_000);
    await using other = await openHolder(home);
    await expect(other.adopt(owner.id)).rejects.toMatchObject({ code: "adoption_refused" });
    expect(await other.reap()).toEqual({ reaped: [], failed: [] });
    expect(await isRunning(socket, owner.id)).toBe(true);
    await killOwner(owner);
    await other.adopt(owner.id);
    await other.remove(owner.id, { keepWorkspace: false, containerRemoved: false });
  });

  test("the launcher of a dead owner is waited for until it lets go, and nobody waits for a living owner", async () => {
    const [dead, alive] = [
      await startOwner(home, socket, "started", 60_000),
      await startOwner(home, socket, "started", 60_000),
    ];
    process.kill(dead.launcher, "SIGSTOP");
    onTestFinished(() => {
      for (const { launcher, process: owner } of [dead, alive]) {
        owner.kill("SIGKILL");
        if (existsSync(`/proc/${launcher}`)) process.kill(launcher, "SIGCONT");
      }
    });
    dead.process.kill("SIGKILL");
    await once(dead.process, "exit");
    await using next = await openHolder(home);
    const outcomes: string[] = [];
    const note = (what: string) => (): void => void outcomes.push(what);
    const adopting = next.adopt(dead.id);
    adopting.then(note("adopted"), note("refused"));
    const refused = { code: "adoption_refused", message: expect.stringContaining("its owner lives") as string };
    await expect(next.adopt(alive.id)).rejects.toMatchObject(refused);
    expect(await next.reap()).toEqual({ reaped: [], failed: [] });
    await sleep(900);
    expect(outcomes).toEqual([]);
    process.kill(dead.launcher, "SIGCONT");
    expect(await adopting).toMatchObject({ held: { uid: dead.uid }, facts: { pid: expect.any(Number) as number } });
    await next.remove(dead.id, { keepWorkspace: false, containerRemoved: false });
    await killOwner(alive);
    await next.adopt(alive.id);
    await next.remove(alive.id, { keepWorkspace: false, containerRemoved: false });
  });

  test("an orphan is reaped when its grace is over, counted from the first sweep that missed its owner", async () => {
    const owner = await startOwner(home, socket, "started", 0);
    await killOwner(owner, true);
    await using other = await openHolder(home);
    expect(await other.reap()).toEqual({ reaped: [owner.id], failed: [] });
    await expectNothingLeft(owner);
  });

  test("an orphan that no longer runs is not adopted, and goes within its grace", async () => {
    const owner = await startOwner(home, socket, "started", 60_000);
    await killOwner(owner);
    await askEngine(socket, "POST", `/containers/paddock-${owner.id}/kill`);
    await until(() => listProcessesOf(new Set([owner.uid])).length === 0);
    await using other = await openHolder(home);
    await expect(other.adopt(owner.id)).rejects.toMatchObject({ code: "adoption_refused" });
    expect(await other.reap()).toEqual({ reaped: [owner.id], failed: [] });
    await expectNothingLeft(owner);
  });

  test("what had not started when its owner died is not adopted but removed", async () => {
    const owner = await startOwner(home, socket, "running", 60_000);
    await killOwner(owner);
    await expectNothingLeft(owner);
  });

  test.each(["runc", "runsc"])("SIGKILL of the owner of a paused container (%s) leaves nothing", async (runtime) => {
    const owner = await startOwner(home, socket, "started", undefined, runtime);
    const { pid } = readRunning(home, owner.id);
    expect((await askEngine(socket, "POST", `/containers/paddock-${owner.id}/pause`)).status).toBe(204);
    await killOwner(owner);
    await expectNothingLeft(owner);
    expect(isProcessRunning(pid)).toBe(false);
  });

  for (const runtime of ["runc", "runsc"]) {
    test.skipIf(lacksEngine(runtime))(
      `a silent engine (${runtime}): everything is killed, the record stays, and goes once the engine answers`,
      async () => {
        const link = join(home.root, "engine.sock");
        await (await openHolder(home))[Symbol.asyncDispose]();
        symlinkSync(socket, link);
        const owner = await startOwner(home, link, "started", undefined, runtime);
        const { pid, cgroups } = readRunning(home, owner.id);
        expect(cgroups.length).toBeGreaterThan(0);
        unlinkSync(link);
        await killOwner(owner);
        expect(existsSync(join(home.owners, owner.id))).toBe(true);
        await until(() => !isProcessRunning(pid) && cgroups.every(isEmptyGroup));
        await using other = await openHolder(home);
        expect(await other.reap()).toMatchObject({
          reaped: [],
          failed: [{ id: owner.id, detail: expect.stringContaining("does not answer") }],
        });
        expect(existsSync(join(home.workspaces, owner.id, "image.ext4"))).toBe(true);
        symlinkSync(socket, link);
        expect(await other.reap()).toEqual({ reaped: [owner.id], failed: [] });
        await expectNothingLeft(owner);
      },
    );
  }
});
