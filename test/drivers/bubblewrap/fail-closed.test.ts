import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Home } from "../../../src/config/home.ts";
import type { BubblewrapOptions } from "../../../src/drivers/bubblewrap/options.ts";
import { compileSeccomp } from "../../../src/drivers/seccomp/bpf.ts";
import { oweNothing } from "../../conformance/driver/owe-nothing.ts";
import { lacks } from "../../support/needs.ts";
import { isRoot, listLeftovers, makeHome, NOTHING_LEFT, openHarness, removeHome } from "./harness.ts";

describe.skipIf(lacks(isRoot, "root"))("a protection that is missing", () => {
  let home: Home;
  let tools: string;

  beforeEach(() => {
    home = makeHome();
    tools = join(home.root, "..", "tools");
    mkdirSync(tools);
    chmodSync(tools, 0o755);
  });

  afterEach(() => removeHome(home));

  async function findFailure(options: Partial<BubblewrapOptions>): Promise<string | undefined> {
    await using harness = openHarness({ home, ...options });
    const findings = await harness.driver.probe(oweNothing);
    const failed = findings.filter(({ status }) => status === "failed");
    await expect(harness.driver.start()).rejects.toMatchObject({
      code: "driver_unavailable",
      message: expect.stringContaining(failed[0]?.name ?? "nothing has failed"),
    });
    await expect(harness.open()).rejects.toMatchObject({ code: "driver_unavailable" });
    for (const { hint } of failed) expect(hint).toBeTruthy();
    return failed[0]?.name;
  }

  test("bubblewrap that is not there refuses the driver", async () => {
    expect(await findFailure({ bubblewrap: join(tools, "nothing") })).toBe("bubblewrap");
  });

  test("a filter that is cut short refuses the driver", async () => {
    const cut = (arch: "x64" | "arm64"): Buffer => compileSeccomp(arch).subarray(0, 13);
    expect(await findFailure({ compileSeccomp: cut })).toBe("seccomp");
  });

  test("an empty filter refuses the driver", async () => {
    expect(await findFailure({ compileSeccomp: () => Buffer.alloc(0) })).toBe("seccomp");
  });

  test("cgroups that cannot be written refuse the driver", async () => {
    const mountinfo = "1 0 0:1 / /proc/sys - cgroup cgroup rw,memory\n2 0 0:2 / /proc/sys - cgroup cgroup rw,pids\n";
    expect(await findFailure({ cgroupTexts: { mountinfo, membership: "2:memory:/\n1:pids:/\n" } })).toBe("limits");
  });

  test("no cgroups at all refuse the driver unless weaker limits were asked for by name", async () => {
    const cgroupTexts = { mountinfo: "", membership: "" };
    expect(await findFailure({ cgroupTexts })).toBe("limits");
    await using harness = openHarness({ home, cgroupTexts, limits: "rlimit" });
    await using guest = await harness.open();
    expect(guest.sandbox.isolation.limits.mode).toBe("rlimit");
    expect(guest.sandbox.usage()).toEqual({});
  });

  test("a python that sandboxes cannot see refuses the driver", async () => {
    expect(await findFailure({ python: join(tools, "python3") })).toBe("python");
  });

  test("a data folder that sandboxes cannot pass refuses the driver", async () => {
    mkdirSync(home.root, { mode: 0o700 });
    chmodSync(home.root, 0o700);
    expect(await findFailure({})).toBe("data folder");
  });

  test("a bubblewrap that ignores its options never gets a sandbox, and nothing is left", async () => {
    const stub = join(tools, "bwrap");
    const real = '#!/bin/sh\nexec /usr/bin/bwrap "$@"\n';
    writeFileSync(stub, real, { mode: 0o755 });
    await using harness = openHarness({ home, bubblewrap: stub, command: ["/usr/bin/sleep", "1000"] });
    await harness.driver.start();
    writeFileSync(`${stub}.new`, '#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\nshift\nexec "$@"\n', {
      mode: 0o755,
    });
    renameSync(`${stub}.new`, stub);
    await expect(harness.open()).rejects.toMatchObject({
      code: "isolation_failed",
      message: expect.stringContaining("bubblewrap became"),
    });
    expect(listLeftovers(home)).toEqual(NOTHING_LEFT);
  });

  test("a bubblewrap that leaves the filter out is found out by the host", async () => {
    const stub = join(tools, "bwrap");
    const script = `#!/usr/bin/python3 -ISB
import os, sys
arguments = sys.argv[1:]
if arguments[:1] == ["--args"]:
    options = os.read(10, 1 << 20).decode().split("\\0")[:-1]
    at = options.index("--seccomp")
    os.close(12)
    arguments = options[:at] + options[at + 2:] + arguments[2:]
os.execv("/usr/bin/bwrap", ["bwrap", *arguments])
`;
    writeFileSync(stub, script, { mode: 0o755 });
    await using harness = openHarness({ home, bubblewrap: stub });
    await expect(harness.open()).rejects.toMatchObject({
      code: "isolation_failed",
      message: expect.stringMatching(/Seccomp is 0|bubblewrap became/),
    });
    expect(listLeftovers(home)).toEqual(NOTHING_LEFT);
  });

  test("a limit that the kernel does not take refuses the create, and nothing is left", async () => {
    await using harness = openHarness({ home });
    await expect(harness.open({ limits: { pids: -5 } })).rejects.toMatchObject({
      code: "isolation_failed",
      message: expect.stringContaining("cgroup"),
    });
    expect(listLeftovers(home)).toEqual(NOTHING_LEFT);
  });

  test("a disk that is nearly full refuses the create, and nothing is left", async () => {
    mkdirSync(home.root, { mode: 0o711 });
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=128m,mode=711", "none", home.root]);
    try {
      await using harness = openHarness({ home });
      await expect(harness.open()).rejects.toMatchObject({ code: "no_space" });
      expect({ ...listLeftovers(home), mounts: [] }).toEqual(NOTHING_LEFT);
    } finally {
      execFileSync("umount", [home.root]);
    }
  });
});
