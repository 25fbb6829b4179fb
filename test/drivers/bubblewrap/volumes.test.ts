import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Home } from "../../../src/config/home.ts";
import type { Volumes, WorkspaceSource } from "../../../src/drivers/driver.ts";
import { isVolumeId, makeVolumeId, type SandboxId, type VolumeId } from "../../../src/model/ids.ts";
import { lacks } from "../../support/needs.ts";
import { countRounds } from "../../support/soak.ts";
import {
  findInitProcess,
  type Harness,
  isRoot,
  listLeftovers,
  makeHome,
  NOTHING_LEFT,
  openHarness,
  readStatus,
  removeHome,
  until,
} from "./harness.ts";

const OWNER = fileURLToPath(new URL("./volume-owner.ts", import.meta.url));
const LAUNCHER = fileURLToPath(new URL("../../../images/launcher", import.meta.url));
const MIB = 1024 * 1024;
const BYTES = 16 * MIB;
const ROUNDS = countRounds("PADDOCK_CRASH_COUNT", 2, 100);
/** Whether a pool of this one uid has one to give. */
const ALLOCATE = `
import sys
folder, uids, workspaces, owners, uid = sys.argv[1:]
sys.path.insert(0, folder)
from owners.uids import PoolExhausted, UidPool
pool = UidPool(uids, workspaces, owners, int(uid), int(uid))
pool.sweep()
try:
    print(pool.allocate()[0])
except PoolExhausted:
    print("none")`;

const over = (volumeId: VolumeId, readOnly = false): { readonly workspace: WorkspaceSource } => ({
  workspace: { kind: "volume", volumeId, readOnly },
});

async function volumesOf(harness: Harness): Promise<Volumes> {
  await harness.driver.start();
  if (harness.driver.volumes === undefined) throw new Error("the driver has no volumes");
  return harness.driver.volumes;
}

describe.skipIf(lacks(isRoot, "root"))("volumes", () => {
  let home: Home;

  beforeEach(() => {
    home = makeHome();
  });
  afterEach(() => removeHome(home));

  const readOwner = (id: VolumeId): { readonly uid: number } =>
    JSON.parse(readFileSync(join(home.workspaces, id, "owner.json"), "utf8")) as { uid: number };

  const allocate = (uid: number): string => {
    const rooms = [home.uids, home.workspaces, home.owners];
    const args = ["-I", "-B", "-c", ALLOCATE, LAUNCHER, ...rooms, String(uid)];
    return execFileSync("/usr/bin/python3", args, { encoding: "utf8" }).trim();
  };

  test("a volume keeps its uid, which nobody else gets until it is removed", async () => {
    await using harness = openHarness({ home });
    const volumes = await volumesOf(harness);
    const id = makeVolumeId();
    await volumes.make(id, BYTES);
    const owner = readOwner(id);
    expect(owner).toEqual({ id, uid: owner.uid, gid: owner.uid, mode: "image", bytes: BYTES });
    for (let turn = 0; turn < 2; turn++) {
      await using guest = await harness.open(over(id));
      expect(guest.sandbox.isolation).toMatchObject({ distinct_uid: true, limits: { workspace: "image" } });
      expect(readStatus(findInitProcess(guest.spec.id))["Uid"]?.split("\t")[0]).toBe(String(owner.uid));
      expect(allocate(owner.uid)).toBe("none");
    }
    await harness.driver.reap();
    expect(allocate(owner.uid)).toBe("none");
    await volumes.remove(id);
    expect(listLeftovers(home)).toEqual(NOTHING_LEFT);
    expect(allocate(owner.uid)).toBe(String(owner.uid));
  });

  test("writing ends at the volume's size", async () => {
    await using harness = openHarness({ home });
    const id = makeVolumeId();
    await (await volumesOf(harness)).make(id, BYTES);
    await using guest = await harness.open(over(id));
    const fill = `
import errno
result = 0
try:
    with open("/workspace/big", "wb", buffering=0) as file:
        while True: result += file.write(bytes(1 << 20))
except OSError as error:
    assert error.errno == errno.ENOSPC`;
    const written = await guest.run<number>(fill);
    expect(written).toBeGreaterThan(BYTES - 4 * MIB);
    expect(written).toBeLessThanOrEqual(BYTES);
  });

  test("retention takes ended workspaces and no volume", async () => {
    await using harness = openHarness({ home, retentionMs: 0, retentionBytes: 0 });
    const id = makeVolumeId();
    await (await volumesOf(harness)).make(id, BYTES);
    const guest = await harness.open();
    await guest.sandbox.destroy({ keepWorkspace: true });
    await guest[Symbol.asyncDispose]();
    const sandboxId = guest.spec.id as SandboxId;
    await until(() => !existsSync(join(home.run, sandboxId)));
    expect(readdirSync(home.workspaces)).toContain(sandboxId);
    await harness.driver.reap();
    expect(readdirSync(home.workspaces)).not.toContain(sandboxId);
    await using again = await harness.open(over(id));
    expect(await again.run("result = 3")).toBe(3);
  });

  test.each(["without owner.json", "with one cut short", "with its tree only"])(
    "half a volume, %s, is listed, left alone by a reap, not used, and made anew under its uid",
    async (how) => {
      await using harness = openHarness({ home });
      const volumes = await volumesOf(harness);
      const id = makeVolumeId();
      await volumes.make(id, BYTES);
      const folder = join(home.workspaces, id);
      const { uid } = readOwner(id);
      if (how === "with one cut short") truncateSync(join(folder, "owner.json"), 9);
      else rmSync(join(folder, "owner.json"));
      if (how === "with its tree only") {
        rmSync(folder, { recursive: true });
        mkdirSync(join(folder, "tree", "deep"), { recursive: true });
      }
      expect(await harness.driver.reap()).toEqual({ reaped: [], failed: [] });
      expect(await volumes.list()).toEqual([id]);
      await expect(harness.open(over(id))).rejects.toMatchObject({ code: "not_found" });
      await volumes.make(id, BYTES);
      expect(readdirSync(folder).toSorted()).toEqual(["image.ext4", "mount", "owner.json"]);
      expect(readOwner(id).uid).toBe(uid);
      await using guest = await harness.open(over(id));
      expect(await guest.run("import os\nresult = os.listdir('/workspace')")).toEqual([]);
      await guest[Symbol.asyncDispose]();
      await volumes.remove(id);
      expect(listLeftovers(home)).toEqual(NOTHING_LEFT);
    },
  );

  test("a disk that is nearly full, or full in the middle, refuses a volume, and nothing is left", async () => {
    mkdirSync(home.root, { mode: 0o711 });
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=128m,mode=711,nr_inodes=600", "none", home.root]);
    const remount = (options: string): Buffer => execFileSync("mount", ["-o", `remount,${options}`, home.root]);
    try {
      await using harness = openHarness({ home });
      const volumes = await volumesOf(harness);
      const id = makeVolumeId();
      await expect(volumes.make(id, BYTES)).rejects.toMatchObject({ code: "no_space" });
      expect({ ...listLeftovers(home), mounts: [] }).toEqual(NOTHING_LEFT);
      remount("size=1g");
      // Its lock, its uid's and its folder can be made; its image cannot.
      const spare = fillInodes(home.root).slice(0, 3);
      for (const path of spare) rmSync(path);
      await expect(volumes.make(id, BYTES)).rejects.toMatchObject({ code: "no_space" });
      expect({ ...listLeftovers(home), mounts: [] }).toEqual(NOTHING_LEFT);
      remount("nr_inodes=2000");
      await volumes.make(id, BYTES);
      await volumes.remove(id);
    } finally {
      execFileSync("umount", [home.root]);
    }
  });

  test("a mount that a crashed engine left does not keep a volume in use", async () => {
    await using harness = openHarness({ home });
    const id = makeVolumeId();
    await (await volumesOf(harness)).make(id, BYTES);
    const left = join(home.root, "left");
    mkdirSync(left);
    execFileSync("mount", ["-o", "loop,ro", join(home.workspaces, id, "image.ext4"), left]);
    expect(listLeftovers(home)["mounts"]).toHaveLength(1);
    await using guest = await harness.open(over(id));
    expect(await guest.run("result = open('/workspace/x', 'w').write('x')")).toBe(1);
    expect(listLeftovers(home)["mounts"]).toEqual([]);
  });

  test("a lock whose volume is gone goes with the next reap, and the uid with it", async () => {
    await using harness = openHarness({ home });
    const volumes = await volumesOf(harness);
    const id = makeVolumeId();
    await volumes.make(id, BYTES);
    rmSync(join(home.workspaces, id), { recursive: true });
    await harness.driver.reap();
    expect(listLeftovers(home)).toEqual(NOTHING_LEFT);
    expect(await volumes.list()).toEqual([]);
  });

  test(`SIGKILL of owner and launcher while they make and remove volumes (${ROUNDS} rounds)`, {
    timeout: 30_000 + ROUNDS * 5000,
  }, async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const ids = await makeUntilKilled(home, round);
      await using harness = openHarness({ home });
      const volumes = await volumesOf(harness);
      const before = (await volumes.list()).toSorted();
      expect((await harness.driver.reap()).failed).toEqual([]);
      expect((await volumes.list()).toSorted()).toEqual(before);
      const [last] = ids.slice(-1) as [VolumeId];
      await volumes.make(last, BYTES);
      const uids = (await volumes.list()).filter((id) => existsSync(join(home.workspaces, id, "owner.json")));
      expect(new Set(uids.map((id) => readOwner(id).uid)).size).toBe(uids.length);
      {
        await using guest = await harness.open(over(last));
        expect(await guest.run("result = open('/workspace/x', 'w').write('x')")).toBe(1);
      }
      for (const id of await volumes.list()) await volumes.remove(id);
      await harness.driver.reap();
      expect([round, listLeftovers(home)]).toEqual([round, NOTHING_LEFT]);
    }
  });
});

/** Makes files until the file system has no inode left. */
function fillInodes(folder: string): string[] {
  const made: string[] = [];
  for (;;) {
    const path = join(folder, `inode-${made.length}`);
    try {
      writeFileSync(path, "");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOSPC") return made;
      throw error;
    }
    made.push(path);
  }
}

/** Ids of the volumes that were begun before everything was killed, at another moment of the last one each round. */
async function makeUntilKilled(home: Home, round: number): Promise<readonly VolumeId[]> {
  const child = spawn(process.execPath, [OWNER, home.root], { stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit");
  const ids: VolumeId[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    if (isVolumeId(line)) ids.push(line);
    // What is there tells how far it is: nothing, the folder, the whole volume.
    const steps = [home.owners, home.workspaces].map((room) => join(room, ids.at(-1) ?? ""));
    const wanted = [...steps, join(steps[1] ?? "", "image.ext4"), join(steps[1] ?? "", "owner.json")][round % 4] ?? "";
    if (ids.length < 3) continue;
    while (statSync(wanted, { throwIfNoEntry: false }) === undefined && child.exitCode === null) await nextTurn();
    break;
  }
  const launcher = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8").trim().split(" ");
  for (const pid of launcher) process.kill(Number(pid), "SIGKILL");
  child.kill("SIGKILL");
  await exited;
  return ids;
}

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
