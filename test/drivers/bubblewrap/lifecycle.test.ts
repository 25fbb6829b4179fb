import { mkdirSync, readdirSync, readFileSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { lacks } from "../../support/needs.ts";
import {
  findInitProcess,
  type Harness,
  isRoot,
  listLeftovers,
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
      await expect(writer, "readers are still there").rejects.toMatchObject({ code: "capacity" });
    }
    await using writer = await harness.open({ workspace: { kind: "ended", sandboxId, writable: true } });
    expect(await writer.run(look)).toEqual(["kept", true]);
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

describe.skipIf(lacks(isRoot, "root"))("two owners of one data folder", () => {
  test("sweep drafts at the same time, and neither falls over what the other removes", async () => {
    await using one = openHarness();
    await using other = openHarness({ home: one.home });
    await Promise.all([one.driver.start(), other.driver.start()]);
    for (let round = 0; round < 20; round++) {
      const old = new Date(Date.now() - 2 * 60 * 60 * 1000);
      for (let count = 0; count < 5; count++) {
        const draft = join(one.home.workspaces, `.probe-${round}-${count}`);
        for (let file = 0; file < 100; file++) mkdirSync(join(draft, `folder-${file}`), { recursive: true });
        utimesSync(draft, old, old);
      }
      const reports = await Promise.all([one.driver.reap(), other.driver.reap()]);
      expect(reports).toEqual([
        { reaped: [], failed: [] },
        { reaped: [], failed: [] },
      ]);
      expect(readdirSync(one.home.workspaces).filter((name) => name.startsWith(".probe-"))).toEqual([]);
    }
  });
});
