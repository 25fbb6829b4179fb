import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Home } from "../../../src/config/home.ts";
import { FrozenFolder } from "../../support/frozen-folder.ts";
import { lacks } from "../../support/needs.ts";
import {
  findInitProcess,
  isRoot,
  listLeftovers,
  listProcessesOf,
  makeHome,
  NOTHING_LEFT,
  openHarness,
  readStatus,
  removeHome,
  until,
} from "./harness.ts";
import { untilStuck, writeTo } from "./stuck.ts";

const OWNER = fileURLToPath(new URL("./stuck-owner.ts", import.meta.url));
const REMOVAL_MS = 500;

const readUid = (pid: number): number => Number(readStatus(pid)["Uid"]?.split("\t")[0]);

describe.skipIf(lacks(isRoot, "root"))("processes that cannot be killed", () => {
  let home: Home;
  let folder: FrozenFolder;

  beforeEach(() => {
    home = makeHome();
    folder = new FrozenFolder();
  });
  afterEach(() => {
    folder[Symbol.dispose]();
    removeHome(home);
  });

  test("a removal says so in its time, may be asked for again, and hinders nobody else", async () => {
    await using harness = openHarness({ home, removalMs: REMOVAL_MS });
    const { changes, code } = writeTo(folder.path);
    const guest = await harness.open(changes);
    await guest.run(code);
    const uid = readUid(findInitProcess(guest.spec.id));
    folder.freeze();
    await untilStuck(uid);
    const failed = { code: "internal", message: expect.stringContaining("do not end") as string };
    await expect(guest.sandbox.destroy()).rejects.toMatchObject(failed);
    await expect(guest.sandbox.destroy()).rejects.toMatchObject(failed);
    await using other = await harness.open();
    expect(await other.run("result = 1")).toBe(1);
    expect(existsSync(join(home.owners, guest.spec.id))).toBe(true);
    folder.thaw();
    await vi.waitFor(() => guest.sandbox.destroy(), { timeout: 20_000 });
    await guest[Symbol.asyncDispose]();
    await other[Symbol.asyncDispose]();
    expect(listLeftovers(home)).toEqual(NOTHING_LEFT);
  });

  test("a launcher ends all the same, and leaves them to the next owner", async () => {
    const harness = openHarness({ home, removalMs: REMOVAL_MS });
    const { changes, code } = writeTo(folder.path);
    const guest = await harness.open(changes);
    await guest.run(code);
    const uid = readUid(findInitProcess(guest.spec.id));
    folder.freeze();
    await untilStuck(uid);
    await harness[Symbol.asyncDispose]();
    folder.thaw();
    await until(() => listProcessesOf(new Set([uid])).length === 0);
    await using next = openHarness({ home });
    expect(await next.driver.reap()).toEqual({ reaped: [guest.spec.id], failed: [] });
    expect(listLeftovers(home)).toEqual(NOTHING_LEFT);
  });

  test("without groups a dead owner's uid and folders are given back only when its processes are gone", async () => {
    const owner = spawn(process.execPath, [OWNER, home.root, folder.path], { stdio: ["ignore", "pipe", "inherit"] });
    const [id] = (await once(createInterface({ input: owner.stdout }), "line")) as [string];
    const record = JSON.parse(readFileSync(join(home.owners, id), "utf8")) as {
      uid: number;
      launcher: { pid: number };
    };
    folder.freeze();
    await untilStuck(record.uid);
    process.kill(record.launcher.pid, "SIGKILL");
    owner.kill("SIGKILL");
    await once(owner, "exit");
    await using next = openHarness({ home, removalMs: REMOVAL_MS });
    expect(await next.driver.reap()).toMatchObject({ reaped: [], failed: [{ id }] });
    expect(listProcessesOf(new Set([record.uid]))).not.toEqual([]);
    expect([readdirSync(home.owners), readdirSync(home.uids)]).toEqual([[id], [`${record.uid}.lock`]]);
    folder.thaw();
    await until(() => listProcessesOf(new Set([record.uid])).length === 0);
    await vi.waitFor(async () => expect((await next.driver.reap()).failed).toEqual([]), { timeout: 20_000 });
    expect(listLeftovers(home)).toEqual(NOTHING_LEFT);
  });
});
