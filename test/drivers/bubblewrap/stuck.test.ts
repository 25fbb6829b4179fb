import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
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

const REMOVAL_MS = 200;

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
    await until(() => listProcessesOf(new Set([uid])).length === 0);
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
});
