import { existsSync, readdirSync } from "node:fs";
import { totalmem } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Fleet } from "../../src/fleet/fleet.ts";
import { isSandboxId } from "../../src/model/ids.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { storedRemains } from "../conformance/driver/scan.ts";
import { GatedBubblewrap } from "../support/gated-bubblewrap.ts";
import { openTestApp, testHome } from "../support/home.ts";
import { lacks } from "../support/needs.ts";
import { onStep } from "../support/on-step.ts";
import { expectGone } from "../support/remains.ts";
import { holdDevice, type ImpatientFleet, leaseFile, openImpatientFleet, sweepAway } from "../support/slow-removal.ts";

describe.skipIf(lacks(process.getuid?.() === 0, "root"))("owed", () => {
  let fleet: Fleet;

  beforeEach(async () => {
    ({ fleet } = await openImpatientFleet());
  });
  afterEach(() => fleet[Symbol.asyncDispose]());

  test("a sandbox whose loop device is held is tried again by each sweep, and gone once it is free", async () => {
    const lease = await leaseFile(fleet);
    const { id } = lease.sandbox;
    using device = holdDevice(id);
    await expect(lease.close()).rejects.toMatchObject({
      code: "internal",
      message: expect.stringContaining("loop device"),
    });
    const { reaped, failed } = await fleet.reap();
    expect([reaped, failed.map((one) => one.id)]).toEqual([[], [id]]);
    expect(storedRemains([id], testHome)).not.toEqual([]);
    device?.[Symbol.dispose]();
    await sweepAway(fleet, id);
    await expectGone([id]);
  });

  test("a process ends whose sandbox cannot be removed, and the next one removes it", async () => {
    const lease = await leaseFile(fleet);
    const { id } = lease.sandbox;
    using device = holdDevice(id);
    await expect(lease.close()).rejects.toMatchObject({ code: "internal" });
    await fleet[Symbol.asyncDispose]();
    device?.[Symbol.dispose]();
    await using next = await openTestApp({ driver: "bubblewrap" });
    await next.fleet.start();
    await expectGone([id]);
  });
});

describe.skipIf(lacks(process.getuid?.() === 0, "root"))("owed by a create that fails", () => {
  /** Two of these do not fit the machine. */
  const LARGE = { ...DEFAULT_LIMITS, memoryBytes: Math.floor(totalmem() * 0.6) };

  let parts: ImpatientFleet;
  let gate: GatedBubblewrap;

  beforeEach(async () => {
    gate = new GatedBubblewrap();
    parts = await openImpatientFleet({ bubblewrap: gate.program }, { overcommit: 1 });
    await parts.fleet.start();
  });
  afterEach(async () => {
    await parts.fleet[Symbol.asyncDispose]();
    gate[Symbol.dispose]();
  });

  /**
   * While it is owed its share is not given to others and its run folder is gone; a sweep removes it once its device is
   * free.
   */
  async function expectOwed(id: string, device: Disposable | undefined): Promise<void> {
    const { fleet } = parts;
    expect(device).toBeDefined();
    expect(existsSync(join(testHome.run, id))).toBe(false);
    expect(readdirSync(testHome.owners)).toContain(id);
    await expect(leaseFile(fleet, { limits: LARGE })).rejects.toMatchObject({ code: "capacity" });
    device?.[Symbol.dispose]();
    await sweepAway(fleet, id);
    await expectGone([id]);
    gate.set("open");
    await using next = await leaseFile(fleet, { limits: LARGE });
    expect(next.sandbox.end).toBeUndefined();
  }

  test.each([
    ["its program fails", "isolation_failed"],
    ["its caller leaves", "cancelled"],
  ])("what is left when %s is a sweep's, and the error is the create's own", async (how, code) => {
    const leaving = new AbortController();
    let id = "";
    using _listening = onStep("listening", (sandboxId) => {
      id = sandboxId;
    });
    gate.set("shut");
    const making = leaseFile(parts.fleet, { limits: LARGE, signal: leaving.signal });
    making.catch(() => undefined);
    const device = await vi.waitUntil(() => (id === "" ? undefined : holdDevice(id)), { timeout: 10_000, interval: 5 });
    if (how === "its program fails") gate.set("fail");
    else leaving.abort();
    await expect(making).rejects.toMatchObject({ code });
    await expectOwed(id, device);
  });

  test("what is left when its caller leaves before the supervisor answers is a sweep's too", async () => {
    const leaving = new AbortController();
    let id = "";
    let device: Disposable | undefined;
    using _made = onStep("driver made it", (sandboxId) => {
      id = sandboxId;
      device = holdDevice(id);
      leaving.abort();
    });
    const making = leaseFile(parts.fleet, { limits: LARGE, signal: leaving.signal });
    await expect(making).rejects.toMatchObject({ code: "cancelled" });
    await expectOwed(id, device);
  });

  test("a lease keeps its share until its sandbox is gone", async () => {
    const { fleet } = parts;
    const lease = await leaseFile(fleet, { limits: LARGE });
    const { id } = lease.sandbox;
    using device = holdDevice(id);
    await expect(lease.close()).rejects.toMatchObject({ code: "internal" });
    await expect(leaseFile(fleet, { limits: LARGE })).rejects.toMatchObject({ code: "capacity" });
    device?.[Symbol.dispose]();
    await sweepAway(fleet, id);
    await using next = await leaseFile(fleet, { limits: LARGE });
    expect(next.sandbox.end).toBeUndefined();
  });

  test("a trial of the driver is tried again as well", async () => {
    const { fleet } = parts;
    gate.set("shut");
    const before = new Set(readdirSync(testHome.owners));
    const probing = fleet.probeDriver();
    const find = (): string | undefined => readdirSync(testHome.owners).find((name) => isNew(name, before));
    const hold = (): Disposable | undefined => {
      const id = find();
      return id === undefined ? undefined : holdDevice(id);
    };
    using device = await vi.waitUntil(hold, { timeout: 10_000, interval: 5 });
    const id = find() ?? "";
    gate.set("open");
    expect((await probing).at(-1)).toMatchObject({ name: "sandbox", status: "failed" });
    device[Symbol.dispose]();
    await sweepAway(fleet, id);
    await expectGone([id]);
  });
});

const isNew = (name: string, before: ReadonlySet<string>): boolean => isSandboxId(name) && !before.has(name);
