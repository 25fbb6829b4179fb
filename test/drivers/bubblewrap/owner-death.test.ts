import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Home } from "../../../src/config/home.ts";
import { makeSandboxId } from "../../../src/model/ids.ts";
import { lacks } from "../../support/needs.ts";
import {
  findInitProcess,
  isRoot,
  isRunning,
  listGroups,
  listLeftovers,
  listMembers,
  listProcessesOf,
  makeHome,
  NOTHING_LEFT,
  openHarness,
  readStatus,
  removeHome,
  until,
} from "./harness.ts";

const OWNER = fileURLToPath(new URL("./owner.ts", import.meta.url));

interface Owner {
  readonly process: ChildProcess;
  readonly ids: readonly string[];
  readonly uids: ReadonlySet<number>;
  readonly launcher: number;
}

async function startOwner(home: Home, count: number): Promise<Owner> {
  const child = spawn(process.execPath, [OWNER, home.root, String(count)], { stdio: ["ignore", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout });
  const [line] = (await once(lines, "line")) as [string];
  const ids = (JSON.parse(line) as { id: string }[]).map(({ id }) => id);
  const inits = ids.map(findInitProcess);
  const outer = Number(readStatus(inits[0] ?? 0)["PPid"]);
  return {
    process: child,
    ids,
    uids: new Set(inits.map((pid) => Number(readStatus(pid)["Uid"]?.split("\t")[0]))),
    launcher: Number(readStatus(outer)["PPid"]),
  };
}

const isOver = ({ ids, uids }: Owner): boolean =>
  listProcessesOf(uids).length === 0 && ids.every((id) => listMembers(id).length === 0);

describe.skipIf(lacks(isRoot, "root"))("the death of an owner", () => {
  let home: Home;

  beforeEach(() => {
    home = makeHome();
  });

  afterEach(() => removeHome(home));

  test("SIGKILL of the owning process leaves nothing at all", async () => {
    const owner = await startOwner(home, 3);
    expect(listProcessesOf(owner.uids).length).toBeGreaterThan(15);
    owner.process.kill("SIGKILL");
    await once(owner.process, "exit");
    await until(() => !isRunning(owner.launcher));
    expect(isOver(owner)).toBe(true);
    expect(owner.ids.flatMap(listGroups)).toEqual([]);
    expect(listLeftovers(home)).toEqual(NOTHING_LEFT);
  });

  test("SIGKILL of owner and launcher leaves no process, mount or loop device, and the next reap removes the rest", async () => {
    const owner = await startOwner(home, 2);
    process.kill(owner.launcher, "SIGKILL");
    owner.process.kill("SIGKILL");
    await once(owner.process, "exit");
    await until(() => isOver(owner));
    await until(() => listLeftovers(home)["loops"]?.length === 0);
    expect(listLeftovers(home)["mounts"]).toEqual([]);
    expect(readdirSync(home.owners).sort()).toEqual([...owner.ids].sort());
    await using harness = openHarness({ home });
    const report = await harness.driver.reap();
    expect([...report.reaped].sort()).toEqual([...owner.ids].sort());
    expect(report.failed).toEqual([]);
    expect(listLeftovers(home)).toEqual(NOTHING_LEFT);
    expect(owner.ids.flatMap(listGroups)).toEqual([]);
  });

  test.each([1, 2, 3])(
    "creates that were under way when everything was killed are reaped (round %i)",
    async (round) => {
      const child = spawn(process.execPath, [OWNER, home.root, "30"], { stdio: "ignore" });
      const listOwners = (): string[] => (existsSync(home.owners) ? readdirSync(home.owners) : []);
      await until(() => listOwners().length > round * 3, 20_000);
      const records = listOwners().filter((name) => name.startsWith("sbx_"));
      const record = JSON.parse(readFileSync(join(home.owners, records[0] ?? ""), "utf8")) as {
        launcher: { pid: number };
      };
      process.kill(record.launcher.pid, "SIGKILL");
      child.kill("SIGKILL");
      await once(child, "exit");
      await using harness = openHarness({ home });
      const { failed, reaped } = await harness.driver.reap();
      expect(failed).toEqual([]);
      expect(reaped.length).toBeGreaterThan(round * 3 - 1);
      const left = listLeftovers(home);
      // The folder of a create that no launcher has heard of is its maker's, whom the fleet looks up.
      const run = left["run"]?.filter((id) => reaped.includes(id));
      expect({ ...left, run }).toEqual(NOTHING_LEFT);
      expect(reaped.flatMap(listMembers)).toEqual([]);
      expect(reaped.flatMap(listGroups)).toEqual([]);
    },
  );

  test("a reap beside a living owner takes nothing of it, and nothing that has no record", async () => {
    const owner = await startOwner(home, 1);
    const unknown = join(home.workspaces, makeSandboxId());
    mkdirSync(unknown);
    mkdirSync(join(home.workspaces, "not-ours"));
    await using harness = openHarness({ home });
    await using mine = await harness.open();
    expect(await harness.driver.reap()).toEqual({ reaped: [], failed: [] });
    expect(await mine.run("result = 2")).toBe(2);
    expect(listMembers(owner.ids[0] ?? "").length).toBeGreaterThan(5);
    expect(existsSync(unknown)).toBe(true);
    expect(existsSync(join(home.workspaces, "not-ours"))).toBe(true);
    owner.process.kill("SIGKILL");
    await until(() => !isRunning(owner.launcher));
  });

  test("half-made creates are reaped: a record alone, a record cut short, a record that names foreign paths", async () => {
    await using harness = openHarness({ home });
    await harness.driver.start();
    const [alone, short, foreign] = [makeSandboxId(), makeSandboxId(), makeSandboxId()];
    const victim = join(home.root, "victim");
    mkdirSync(victim);
    const record = { id: alone, uid: 200_001, groups: [], processes: [], workspace: null, runDir: null };
    writeFileSync(join(home.owners, alone), JSON.stringify(record));
    writeFileSync(join(home.owners, short), '{"id":');
    mkdirSync(join(home.workspaces, short));
    const named = { groups: [victim, "/sys/fs/cgroup"], workspace: victim, runDir: victim };
    writeFileSync(join(home.owners, foreign), JSON.stringify({ ...record, id: foreign, ...named }));
    const report = await harness.driver.reap();
    expect([...report.reaped].sort()).toEqual([alone, short, foreign].sort());
    expect(existsSync(victim)).toBe(true);
    expect(listLeftovers(home)).toEqual(NOTHING_LEFT);
  });
});
