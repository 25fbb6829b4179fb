import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Fleet } from "../../src/fleet/fleet.ts";
import { storedRemains } from "../conformance/driver/scan.ts";
import { openTestApp, testHome } from "../support/home.ts";
import { lacks } from "../support/needs.ts";
import { expectGone } from "../support/remains.ts";
import { holdDevice, leaseFile, openImpatientFleet } from "../support/slow-removal.ts";

describe.skipIf(lacks(process.getuid?.() === 0, "root"))("owed", () => {
  let fleet: Fleet;

  beforeEach(async () => {
    ({ fleet } = await openImpatientFleet());
  });
  afterEach(() => fleet[Symbol.asyncDispose]());

  test("a sandbox whose loop device is held is tried again by each sweep, and gone once it is free", async () => {
    const { sandbox, close } = await leaseFile(fleet);
    const { id } = sandbox;
    using device = holdDevice(id);
    await expect(close()).rejects.toMatchObject({ code: "internal", message: expect.stringContaining("loop device") });
    const { reaped, failed } = await fleet.reap();
    expect([reaped, failed.map((one) => one.id)]).toEqual([[], [id]]);
    expect(storedRemains([id], testHome)).not.toEqual([]);
    device?.[Symbol.dispose]();
    expect(await fleet.reap()).toEqual({ reaped: [id], failed: [] });
    await expectGone([id]);
  });

  test("a process ends whose sandbox cannot be removed, and the next one removes it", async () => {
    const { sandbox, close } = await leaseFile(fleet);
    using device = holdDevice(sandbox.id);
    await expect(close()).rejects.toMatchObject({ code: "internal" });
    await fleet[Symbol.asyncDispose]();
    device?.[Symbol.dispose]();
    await using next = await openTestApp({ driver: "bubblewrap" });
    await next.fleet.start();
    await expectGone([sandbox.id]);
  });
});
