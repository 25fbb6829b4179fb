/**
 * Sandboxes over a volume against new workspaces, on the driver that PADDOCK_DRIVER names. BENCH_N samples of each row,
 * at least 30. Exit status 1 when closing a sandbox and leasing its volume again takes bubblewrap 100 ms or more at the
 * median.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { createApp } from "../src/app.ts";
import { renderTable } from "../src/cli/render/table.ts";
import type { WorkspaceSource } from "../src/drivers/driver.ts";
import type { Lease } from "../src/fleet/fleet.ts";
import { percentile } from "../src/lib/percentile.ts";
import { makeVolumeId } from "../src/model/ids.ts";
import { DEFAULT_LIMITS } from "../src/model/limits.ts";
import { describeMachine, readLoad } from "../src/model/machine.ts";

const HOME = "/var/tmp/paddock-bench";
const WARM_UP = 5;
const AGAIN = "volume with 1 MiB just written, close and to the first command again";
const BUDGET_MS = 100;
const n = Math.max(30, Number(process.env["BENCH_N"] ?? 30));

mkdirSync(HOME, { recursive: true, mode: 0o711 });
await using app = await createApp({ env: { ...process.env, PADDOCK_HOME: HOME } });
const { fleet } = app;
const loadBefore = readLoad();
const samples = new Map<string, number[]>();

async function time<T>(row: string, work: () => Promise<T>): Promise<T> {
  const begun = performance.now();
  const value = await work();
  const known = samples.get(row) ?? [];
  samples.set(row, [...known, performance.now() - begun]);
  return value;
}

/** Ready means that a command has run. */
async function lease(workspace: WorkspaceSource): Promise<Lease> {
  const leased = await fleet.lease({
    nodeType: "file",
    limits: DEFAULT_LIMITS,
    network: "none",
    env: {},
    bare: true,
    signal: AbortSignal.timeout(60_000),
    onProgress: () => undefined,
    workspace,
  });
  await leased.sandbox.runProcess({ argv: ["true"] });
  return leased;
}

const kept = makeVolumeId();
const workspace = { kind: "volume", volumeId: kept, readOnly: false } as const;
await fleet.volumes.make(kept, DEFAULT_LIMITS.workspaceBytes);
try {
  for (let round = -WARM_UP; round < n; round++) {
    if (round === 0) samples.clear();
    const fresh = makeVolumeId();
    await time("make a volume", () => fleet.volumes.make(fresh, DEFAULT_LIMITS.workspaceBytes));
    await time("remove a volume", () => fleet.volumes.remove(fresh));
    const first = await time("new workspace, to the first command", () => lease({ kind: "new" }));
    await time("new workspace, close", () => first.close());
    const second = await time("volume, to the first command", () => lease(workspace));
    await second.sandbox.files.write("data", Buffer.alloc(1024 * 1024, round));
    const third = await time(AGAIN, async () => {
      await second.close();
      return await lease(workspace);
    });
    await time("volume, close", () => third.close());
  }
} finally {
  await fleet.volumes.remove(kept);
}

const at = (row: string, share: number): number =>
  percentile(
    (samples.get(row) ?? []).toSorted((a, b) => a - b),
    share,
  );
const rows = [...samples.keys()].map((row) => [row, at(row, 0.5).toFixed(1), at(row, 0.95).toFixed(1)]);
const file = new URL(`results/volumes-${new Date().toISOString().replaceAll(":", "-")}.json`, import.meta.url);
const facts = {
  driver: app.driver.name,
  n,
  machine: describeMachine(loadBefore),
  samples: Object.fromEntries(samples),
};
writeFileSync(file, JSON.stringify(facts, null, 1));
const table = renderTable(
  [{ title: `${app.driver.name}, ms, n = ${n}` }, { title: "p50", align: "right" }, { title: "p95", align: "right" }],
  rows,
);
process.stdout.write(`${table}\nraw samples: ${file.pathname}\n`);
if (app.driver.name === "bubblewrap" && at(AGAIN, 0.5) >= BUDGET_MS) process.exitCode = 1;
