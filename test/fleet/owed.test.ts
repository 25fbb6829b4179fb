import { closeSync, openSync, readdirSync, readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { BubblewrapDriver } from "../../src/drivers/bubblewrap/driver.ts";
import { Fleet, type Lease } from "../../src/fleet/fleet.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { storedRemains } from "../conformance/driver/scan.ts";
import { openTestApp, testEnv, testHome } from "../support/home.ts";
import { lacks } from "../support/needs.ts";
import { expectGone } from "../support/remains.ts";

const SIGNAL_MS = 30_000;
/** How long the launcher of these tests tries to remove something. */
const REMOVAL_MS = 200;

const lease = (fleet: Fleet): Promise<Lease> =>
  fleet.lease({
    nodeType: "file",
    limits: DEFAULT_LIMITS,
    network: "none",
    env: {},
    bare: true,
    signal: AbortSignal.timeout(SIGNAL_MS),
    onProgress: () => undefined,
  });

/** Keeps the sandbox's loop device from being freed, as a process that looks at all disks does. */
function holdDevice(id: string): Disposable {
  const device = readdirSync("/sys/block").find((name) => readBackingFile(name).includes(id));
  const fd = openSync(`/dev/${device}`, "r");
  let isOpen = true;
  const close = (): void => {
    if (isOpen) closeSync(fd);
    isOpen = false;
  };
  return { [Symbol.dispose]: close };
}

function readBackingFile(device: string): string {
  try {
    return readFileSync(`/sys/block/${device}/loop/backing_file`, "utf8");
  } catch {
    return "";
  }
}

describe.skipIf(lacks(process.getuid?.() === 0, "root"))("owed", () => {
  let fleet: Fleet;

  beforeEach(async () => {
    const { config } = await openTestApp({ driver: "bubblewrap" });
    fleet = new Fleet(config, new BubblewrapDriver({ home: config.home, removalMs: REMOVAL_MS }), testEnv());
  });
  afterEach(() => fleet[Symbol.asyncDispose]());

  test("a sandbox whose loop device is held is tried again by each sweep, and gone once it is free", async () => {
    const { sandbox, close } = await lease(fleet);
    const { id } = sandbox;
    using device = holdDevice(id);
    await expect(close()).rejects.toMatchObject({ code: "internal", message: expect.stringContaining("loop device") });
    const { reaped, failed } = await fleet.reap();
    expect([reaped, failed.map((one) => one.id)]).toEqual([[], [id]]);
    expect(storedRemains([id], testHome)).not.toEqual([]);
    device[Symbol.dispose]();
    expect(await fleet.reap()).toEqual({ reaped: [id], failed: [] });
    await expectGone([id]);
  });

  test("a process ends whose sandbox cannot be removed, and the next one removes it", async () => {
    const { sandbox, close } = await lease(fleet);
    using device = holdDevice(sandbox.id);
    await expect(close()).rejects.toMatchObject({ code: "internal" });
    await fleet[Symbol.asyncDispose]();
    device[Symbol.dispose]();
    await using next = await openTestApp({ driver: "bubblewrap" });
    await next.fleet.start();
    await expectGone([sandbox.id]);
  });
});
