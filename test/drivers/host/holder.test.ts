import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Home } from "../../../src/config/home.ts";
import type { Held, HeldFacts, Holder } from "../../../src/drivers/host/holder.ts";
import { makeSandboxId, type SandboxId } from "../../../src/model/ids.ts";
import { lacksEngine, testEngine } from "../../support/engine.ts";
import {
  findInitProcess,
  isRunning as isProcessRunning,
  listLeftovers,
  listProcessesOf,
  makeHome,
  NOTHING_LEFT,
  openHarness,
  readStatus,
  removeHome,
  until,
} from "../bubblewrap/harness.ts";
import {
  askEngine,
  createContainer,
  ensureImage,
  isRunning,
  listEngineLeftovers,
  removeContainer,
  startContainer,
} from "./containers.ts";
import { holdOne, openHolder } from "./holding.ts";

describe.skipIf(lacksEngine())("holding a sandbox whose container an engine makes", () => {
  let socket = "";
  let home: Home;
  let holder: Holder;

  beforeAll(async () => {
    socket = testEngine().socket;
    await ensureImage(socket);
  });

  beforeEach(async () => {
    home = makeHome();
    holder = await openHolder(home);
  });

  afterEach(async () => {
    await holder[Symbol.asyncDispose]();
    removeHome(home);
  });

  async function start({ id, held }: { readonly id: SandboxId; readonly held: Held }): Promise<HeldFacts> {
    const facts = await startContainer(socket, await createContainer(socket, id, held));
    await holder.started(id, facts);
    return facts;
  }

  const listOwn = (): Record<string, readonly string[]> => ({ ...listLeftovers(home), run: [] });
  const readRecord = (id: SandboxId): Record<string, unknown> =>
    JSON.parse(readFileSync(join(home.owners, id), "utf8")) as Record<string, unknown>;

  test("hold, start and remove leave nothing", async () => {
    const one = await holdOne(holder, home, socket);
    expect(one.held).toMatchObject({ distinctUid: true, generation: 1, workspace: { kind: "loop", readOnly: false } });
    expect(one.held.uid).toBeGreaterThanOrEqual(200_000);
    const facts = await start(one);
    expect(listProcessesOf(new Set([one.held.uid]))).toEqual([facts.pid]);
    expect(listLeftovers(home)["loops"]).toHaveLength(1);
    await removeContainer(socket, one.id);
    await holder.remove(one.id, { keepWorkspace: false, containerRemoved: true });
    expect(listOwn()).toEqual(NOTHING_LEFT);
    expect(await listEngineLeftovers(socket, [one.id])).toEqual([]);
    await holder.remove(one.id, { keepWorkspace: false, containerRemoved: true });
  });

  test("the record names driver, container, process and cgroups before anybody else has to remove them", async () => {
    const one = await holdOne(holder, home, socket, 1000);
    expect(readRecord(one.id)).toMatchObject({
      driver: "docker",
      container: { id: null, generation: 1 },
      processes: [],
    });
    const { containerId, pid, cgroups, startedAt } = await start(one);
    expect(readRecord(one.id)).toMatchObject({
      container: {
        name: `paddock-${one.id}`,
        socket,
        id: containerId,
        started_at: startedAt,
        cgroups,
        orphaned_at: null,
      },
      processes: [[pid, expect.any(Number)]],
      runDir: one.socketDir,
    });
    await holder.remove(one.id, { keepWorkspace: false, containerRemoved: false });
    expect(listOwn()).toEqual(NOTHING_LEFT);
    expect(await listEngineLeftovers(socket, [one.id])).toEqual([]);
  });

  test("facts of something else are refused: an id that is none, a cgroup of another container, a foreign process is left out", async () => {
    const one = await holdOne(holder, home, socket);
    const containerId = await createContainer(socket, one.id, one.held);
    const { cgroups, ...facts } = await startContainer(socket, containerId);
    await expect(holder.started(one.id, { ...facts, cgroups, containerId: "x" })).rejects.toMatchObject({
      code: "isolation_failed",
    });
    await expect(holder.started(one.id, { ...facts, cgroups: ["/sys/fs/cgroup"] })).rejects.toMatchObject({
      code: "isolation_failed",
    });
    await holder.started(one.id, { ...facts, cgroups, pid: process.pid });
    expect(readRecord(one.id)["processes"]).toEqual([]);
    await holder.remove(one.id, { keepWorkspace: false, containerRemoved: false });
  });

  test("a kept workspace is held again read-only, and writable under the next generation of its own id", async () => {
    const first = await holdOne(holder, home, socket);
    await start(first);
    await holder.remove(first.id, { keepWorkspace: true, containerRemoved: false });
    const ended = { kind: "ended", sandboxId: first.id } as const;
    const reader = await holdOne(holder, home, socket, undefined, { workspace: ended });
    expect(reader.held).toMatchObject({
      uid: first.held.uid,
      generation: 1,
      workspace: { kind: "loop", readOnly: true },
    });
    await expect(
      holdOne(holder, home, socket, undefined, { workspace: { ...ended, writable: true } }),
    ).rejects.toMatchObject({ code: "capacity" });
    await holder.remove(reader.id, { keepWorkspace: false, containerRemoved: false });
    for (const generation of [2, 3]) {
      const again = await holdOne(holder, home, socket, undefined, {
        id: first.id,
        workspace: { ...ended, writable: true },
      });
      expect(again.held).toMatchObject({ generation, workspace: { kind: "loop", readOnly: false } });
      await start(again);
      await holder.remove(again.id, { keepWorkspace: true, containerRemoved: false });
    }
    expect(existsSync(join(home.workspaces, first.id, "image.ext4"))).toBe(true);
    expect(listOwn()).toMatchObject({ loops: [], mounts: [], owners: [], workspaces: [first.id] });
  });

  test("where the engine cannot mount devices the workspace is a folder or memory", async () => {
    const folder = await holdOne(holder, home, socket, undefined, { storage: "folder" });
    expect(folder.held.workspace).toEqual({
      kind: "folder",
      path: join(home.workspaces, folder.id, "tree"),
      mode: "polled",
      readOnly: false,
    });
    await start(folder);
    const memory = await holdOne(holder, home, null, undefined, { storage: "memory" });
    expect(memory.held.workspace).toEqual({ kind: "memory", mode: "memory" });
    await holder.remove(folder.id, { keepWorkspace: false, containerRemoved: false });
    await holder.remove(memory.id, { keepWorkspace: false, containerRemoved: false });
    expect(listOwn()).toEqual(NOTHING_LEFT);
  });

  test("a refused hold leaves nothing: names of somebody else, no space, a folder as root", async () => {
    const id = makeSandboxId();
    const limits = (await import("../../../src/model/limits.ts")).DEFAULT_LIMITS;
    const request = { id, limits, storage: "loop", adoption: null, workspace: { kind: "new" } } as const;
    const socketDir = join(home.run, id);
    await expect(holder.hold({ ...request, socketDir, container: { name: "other", socket } })).rejects.toMatchObject({
      code: "create_failed",
    });
    await expect(
      holder.hold({ ...request, socketDir: home.root, container: { name: `paddock-${id}`, socket } }),
    ).rejects.toMatchObject({ code: "create_failed" });
    const asRoot = { kind: "folder", path: home.root, uid: 0, gid: 0, readOnly: false } as const;
    await expect(holdOne(holder, home, socket, undefined, { workspace: asRoot })).rejects.toMatchObject({
      code: "create_failed",
    });
    expect(listOwn()).toEqual(NOTHING_LEFT);
  });

  test("a create that is abandoned while it prepares leaves nothing", async () => {
    const id = makeSandboxId();
    const holding = holdOne(holder, home, socket, undefined, { id });
    holding.catch(() => undefined);
    while (!existsSync(join(home.owners, id))) await new Promise(setImmediate);
    await holder.remove(id, { keepWorkspace: false, containerRemoved: true });
    await Promise.allSettled([holding]);
    expect(listOwn()).toEqual(NOTHING_LEFT);
  });

  test("forty holds at once get forty uids and devices, and go again", async () => {
    const all = await Promise.all(Array.from({ length: 40 }, () => holdOne(holder, home, socket)));
    expect(new Set(all.map(({ held }) => held.uid)).size).toBe(40);
    expect(listLeftovers(home)["loops"]).toHaveLength(40);
    await Promise.all(all.map(({ id }) => holder.remove(id, { keepWorkspace: false, containerRemoved: true })));
    expect(listOwn()).toEqual(NOTHING_LEFT);
  });

  test("a mount that a crashed engine left is unmounted", async () => {
    const { execFileSync } = await import("node:child_process");
    const one = await holdOne(holder, home, socket);
    const { workspace } = one.held;
    if (workspace.kind !== "loop") throw new Error("no loop device");
    execFileSync("mount", ["-t", "ext4", workspace.device, join(home.root, "run")]);
    await holder.remove(one.id, { keepWorkspace: false, containerRemoved: true });
    expect(listOwn()).toEqual(NOTHING_LEFT);
  });

  test("a bubblewrap sandbox that starts beside it does not pin its workspace", async () => {
    const one = await holdOne(holder, home, socket);
    await start(one);
    const { workspace } = one.held;
    await using harness = openHarness({ home });
    await using guest = await harness.open();
    const outer = Number(readStatus(findInitProcess(guest.spec.id))["PPid"]);
    const mounts = readFileSync(`/proc/${outer}/mountinfo`, "utf8");
    expect(mounts).toContain(`/workspaces/${guest.spec.id}/mount`);
    expect(workspace.kind === "loop" && mounts.includes(`${workspace.device} `)).toBe(false);
    await holder.remove(one.id, { keepWorkspace: false, containerRemoved: false });
  });

  test("the launcher's death ends what goes with its owner and keeps what may be adopted", async () => {
    const [mortal, survivor] = [await holdOne(holder, home, socket), await holdOne(holder, home, socket, 60_000)];
    await start(mortal);
    const { pid } = await start(survivor);
    const { launcher } = readRecord(mortal.id) as { launcher: { pid: number } };
    process.kill(launcher.pid, "SIGKILL");
    await until(() => !isProcessRunning(launcher.pid));
    await holder.reap();
    expect(listProcessesOf(new Set([mortal.held.uid]))).toEqual([]);
    expect(listProcessesOf(new Set([survivor.held.uid]))).toEqual([pid]);
    expect(await listEngineLeftovers(socket, [mortal.id])).not.toContain(mortal.id);
    await holder.remove(survivor.id, { keepWorkspace: false, containerRemoved: false });
    expect(listOwn()).toEqual(NOTHING_LEFT);
  });

  test("whether an orphan without a process of this machine runs is asked of the engine", async () => {
    const one = await holdOne(holder, home, socket, 60_000);
    const facts = await startContainer(socket, await createContainer(socket, one.id, one.held));
    await holder.started(one.id, { ...facts, pid: null });
    await holder[Symbol.asyncDispose]();
    holder = await openHolder(home);
    expect(await holder.reap()).toEqual({ reaped: [], failed: [] });
    expect(await isRunning(socket, one.id)).toBe(true);
    await askEngine(socket, "POST", `/containers/paddock-${one.id}/kill`);
    await until(() => listProcessesOf(new Set([one.held.uid])).length === 0);
    while (await isRunning(socket, one.id)) await new Promise(setImmediate);
    expect(await holder.reap()).toEqual({ reaped: [one.id], failed: [] });
    expect(listOwn()).toEqual(NOTHING_LEFT);
    expect(await listEngineLeftovers(socket, [one.id])).toEqual([]);
  });

  test("a uid stays reserved while a record names it, whoever sweeps", async () => {
    const one = await holdOne(holder, home, socket, 60_000);
    await start(one);
    await holder[Symbol.asyncDispose]();
    holder = await openHolder(home);
    await holder.reap();
    expect(readFileSync(join(home.uids, `${one.held.uid}.lock`), "utf8")).toBe(one.id);
    await holder.adopt(one.id);
    await holder.remove(one.id, { keepWorkspace: false, containerRemoved: false });
    expect(listOwn()).toEqual(NOTHING_LEFT);
  });
});
