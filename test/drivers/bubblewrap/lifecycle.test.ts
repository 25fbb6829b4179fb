import { readdirSync, readFileSync, rmSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeSandboxId } from "../../../src/model/ids.ts";
import { lacks } from "../../support/needs.ts";
import {
  findInitProcess,
  type Harness,
  isRoot,
  listen,
  listLeftovers,
  makeSpec,
  NOTHING_LEFT,
  openHarness,
  readStatus,
} from "./harness.ts";

const countDescriptors = (pid: number | "self"): number => readdirSync(`/proc/${pid}/fd`).length;

/** Pid of the launcher that made the sandbox: the grandparent of its pid 1. */
function findLauncher(id: string): number {
  const outer = Number(readStatus(findInitProcess(id))["PPid"]);
  return Number(readStatus(outer)["PPid"]);
}

describe.skipIf(lacks(isRoot, "root"))("creating and destroying", () => {
  let harness: Harness;

  beforeAll(async () => {
    harness = openHarness();
    await harness.driver.start();
  });

  afterAll(async () => {
    await harness[Symbol.asyncDispose]();
    expect(harness.listOwnGroups()).toEqual([]);
  });

  test("fifty cycles leave no group, mount, loop device, folder, lock or descriptor", async () => {
    let launcher = 0;
    const cycle = async (): Promise<void> => {
      await using guest = await harness.open();
      launcher = findLauncher(guest.spec.id);
      guest.sandbox.usage();
    };
    await cycle();
    const before = [countDescriptors("self"), countDescriptors(launcher)];
    for (let count = 0; count < 50; count++) await cycle();
    expect([countDescriptors("self"), countDescriptors(launcher)]).toEqual(before);
    expect(listLeftovers(harness.home)).toEqual(NOTHING_LEFT);
    expect(harness.listOwnGroups()).toEqual([]);
  });

  test("ten sandboxes are made and destroyed at the same time", async () => {
    const guests = await Promise.all(Array.from({ length: 10 }, () => harness.open()));
    expect(new Set(guests.map(({ spec }) => spec.id)).size).toBe(10);
    await Promise.all(guests.map((guest) => guest[Symbol.asyncDispose]()));
    expect(listLeftovers(harness.home)).toEqual(NOTHING_LEFT);
  });

  test.each([0, 1, 3, 6, 10])("a create that is aborted after %i ms leaves nothing", async (delayMs) => {
    const id = makeSandboxId();
    const { server, socketDir } = await listen(harness.home, id);
    const created = harness.driver.create(makeSpec(socketDir, { id }), AbortSignal.timeout(delayMs));
    const outcome = await created.then(
      async (sandbox) => {
        await sandbox.destroy();
        return "made before the abort";
      },
      (error: { code: string }) => error.code,
    );
    server.close();
    rmSync(socketDir, { recursive: true, force: true });
    expect(["timeout", "made before the abort"]).toContain(outcome);
    expect(listLeftovers(harness.home)).toEqual(NOTHING_LEFT);
  });

  test("destroy and kill may be called again and at the same time", async () => {
    await using guest = await harness.open();
    await Promise.all([guest.sandbox.destroy(), guest.sandbox.kill("x"), guest.sandbox.destroy()]);
    await guest.sandbox.destroy();
    expect(guest.sandbox.usage().memoryPeakBytes).toBeGreaterThan(0);
  });

  test("an id that is in use is refused and its sandbox lives on", async () => {
    await using guest = await harness.open();
    const again = harness.driver.create({ ...guest.spec }, AbortSignal.timeout(5000));
    await expect(again).rejects.toMatchObject({ code: "create_failed" });
    expect(await guest.run("result = 5")).toBe(5);
  });

  test("a kept workspace can be read by a later sandbox under the same uid, and written only if asked", async () => {
    const first = await harness.open();
    await first.run("open('/workspace/note', 'w').write('kept')");
    const uid = readStatus(findInitProcess(first.spec.id))["Uid"];
    await first.sandbox.destroy({ keepWorkspace: true });
    await first[Symbol.asyncDispose]();
    const sandboxId = first.spec.id;
    const attempt =
      "import os\ntry:\n    open('/workspace/more', 'w').close(); wrote = True\nexcept OSError: wrote = False\n";
    const look = `${attempt}result = [open('/workspace/note').read(), wrote]`;
    {
      await using reader = await harness.open({ workspace: { kind: "ended", sandboxId } });
      await using second = await harness.open({ workspace: { kind: "ended", sandboxId } });
      expect(await reader.run(look)).toEqual(["kept", false]);
      expect(await second.run(look)).toEqual(["kept", false]);
      expect(readStatus(findInitProcess(reader.spec.id))["Uid"]).toBe(uid);
      const writer = harness.open({ workspace: { kind: "ended", sandboxId, writable: true } });
      await expect(writer, "readers are still there").rejects.toMatchObject({ code: "create_failed" });
    }
    await using writer = await harness.open({ workspace: { kind: "ended", sandboxId, writable: true } });
    expect(await writer.run(look)).toEqual(["kept", true]);
  });

  test("a workspace that was not kept cannot be opened", async () => {
    const open = harness.open({ workspace: { kind: "ended", sandboxId: makeSandboxId() } });
    await expect(open).rejects.toMatchObject({ code: "not_found" });
  });

  test("a workspace in memory is a tmpfs of its size", async () => {
    await using guest = await harness.open({ workspace: { kind: "memory" }, limits: { workspaceBytes: 1 << 24 } });
    expect(guest.sandbox.isolation.limits.workspace).toBe("memory");
    expect(await guest.run("import os\ns = os.statvfs('/workspace')\nresult = s.f_blocks * s.f_frsize")).toBe(1 << 24);
    expect(await guest.run("open('/workspace/x', 'w').write('y')\nresult = True")).toBe(true);
  });

  test("the isolation says what is true of this sandbox", async () => {
    await using guest = await harness.open();
    expect(guest.sandbox.isolation).toMatchObject({
      driver: "bubblewrap",
      runtime: "bwrap",
      seccomp: "filter",
      distinct_uid: true,
      limits: { mode: expect.stringMatching(/^cgroup[12]$/), workspace: "image" },
    });
  });
});

describe.skipIf(lacks(isRoot, "root"))("reaping", () => {
  test("ended workspaces go by age, and a living sandbox is not touched", async () => {
    await using harness = openHarness({ retentionMs: 0 });
    await using alive = await harness.open();
    const kept = await harness.open();
    await kept.sandbox.destroy({ keepWorkspace: true });
    await kept[Symbol.asyncDispose]();
    expect(readdirSync(harness.home.workspaces)).toContain(kept.spec.id);
    expect(await harness.driver.reap()).toEqual({ reaped: [], failed: [] });
    expect(readdirSync(harness.home.workspaces)).not.toContain(kept.spec.id);
    expect(readdirSync(harness.home.uids)).toHaveLength(1);
    expect(await alive.run("result = 1")).toBe(1);
  });

  test("the oldest ended workspaces go while all together hold too much", async () => {
    await using harness = openHarness({ retentionBytes: 6 << 20 });
    const ids: string[] = [];
    for (let count = 0; count < 2; count++) {
      const guest = await harness.open();
      await guest.run("import os\nopen('/workspace/data', 'wb').write(os.urandom(5 << 20))");
      await guest.sandbox.destroy({ keepWorkspace: true });
      await guest[Symbol.asyncDispose]();
      ids.push(guest.spec.id);
    }
    await harness.driver.reap();
    expect(readdirSync(harness.home.workspaces).filter((name) => name.startsWith("sbx_"))).toEqual([ids[1]]);
  });

  test("a launcher that dies takes its sandboxes along, and the next one cleans up and goes on", async () => {
    await using harness = openHarness();
    const guest = await harness.open();
    const launcher = findLauncher(guest.spec.id);
    expect(readFileSync(`/proc/${launcher}/cmdline`, "utf8")).toContain("/launcher-");
    process.kill(launcher, "SIGKILL");
    expect(await guest.sandbox.ended).toMatchObject({
      kind: "exited",
      detail: expect.stringContaining("launcher died"),
    });
    await guest[Symbol.asyncDispose]();
    expect(listLeftovers(harness.home)).toEqual(NOTHING_LEFT);
    await using next = await harness.open();
    expect(await next.run("result = 3")).toBe(3);
  });
});
