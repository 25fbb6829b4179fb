import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { GroupLayout } from "../../../src/drivers/host/cgroup-layout.ts";
import { UsageReader } from "../../../src/drivers/host/cgroup-usage.ts";

/** A folder with files as the kernel's v2 group has them; this host may not have such groups. */
function makeVersion2(files: Readonly<Record<string, string>>): {
  layout: GroupLayout;
  folder: string;
  [Symbol.dispose](): void;
} {
  const parent = mkdtempSync(join(tmpdir(), "paddock-cgroup-"));
  mkdirSync(join(parent, "sbx_a"));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(parent, "sbx_a", name), text);
  return {
    layout: { mode: "cgroup2", parents: [], memory: parent, pids: parent, cpu: parent, cpuAccounting: parent },
    folder: join(parent, "sbx_a"),
    [Symbol.dispose]: () => rmSync(parent, { recursive: true }),
  };
}

const FILES = {
  "cpu.stat": "usage_usec 5000\nuser_usec 3000\nsystem_usec 2000\nnr_periods 0\n",
  "memory.peak": "4096\n",
  "memory.current": "1024\n",
  "memory.events": "low 0\nhigh 0\nmax 9\noom 2\noom_kill 1\noom_group_kill 0\n",
  "pids.events": "max 3\n",
};

test("the counters of a v2 group are read from their files and fields", () => {
  using group = makeVersion2(FILES);
  const reader = new UsageReader(group.layout, "sbx_a");
  expect(reader.read()).toEqual({
    cpuTotalUs: 5000,
    cpuUserUs: 3000,
    cpuSystemUs: 2000,
    memoryPeakBytes: 4096,
    memoryBytes: 1024,
    oomKills: 1,
    pidsRefused: 3,
  });
  reader.close();
});

test("counters that the kernel lacks are absent, never 0", () => {
  using group = makeVersion2({ "memory.current": "7\n", "memory.peak": "", "pids.events": "nonsense\n" });
  const reader = new UsageReader(group.layout, "sbx_a");
  expect(reader.read()).toEqual({ memoryBytes: 7 });
  reader.close();
});

test("after close the last sample stands", () => {
  using group = makeVersion2(FILES);
  const reader = new UsageReader(group.layout, "sbx_a");
  reader.close();
  rmSync(group.folder, { recursive: true });
  expect(reader.read()).toMatchObject({ oomKills: 1 });
  expect(reader.resetPeak()).toBe(false);
});

test("without groups there is nothing to tell", () => {
  const reader = new UsageReader(undefined, "sbx_a");
  expect(reader.read()).toEqual({});
  expect(reader.resetPeak()).toBe(false);
});
