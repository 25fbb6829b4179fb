import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { BubblewrapDriver } from "../../src/drivers/bubblewrap/driver.ts";
import { makeTemplateBuilder } from "../../src/fleet/environments/builder.ts";
import type { TemplateBuilder } from "../../src/fleet/environments/templates.ts";
import { EgressPolicies } from "../../src/fleet/make/egress.ts";
import { loadPlan } from "../../src/setup/plans.ts";
import { testEnv, testHome } from "../support/home.ts";
import { lacks } from "../support/needs.ts";
import { onStep } from "../support/on-step.ts";
import { expectGone } from "../support/remains.ts";
import { StuckProcess } from "../support/stuck-process.ts";

const TREE_UID = 199_999;
const signal = (): AbortSignal => AbortSignal.timeout(60_000);

interface Debt {
  readonly id: string;
  readonly remove: () => Promise<void>;
}

describe.skipIf(lacks(process.getuid?.() === 0, "root"))("builder of templates", () => {
  let root = "";
  let stuck: StuckProcess;
  let driver: BubblewrapDriver;
  let builder: TemplateBuilder;
  let joining: Disposable;
  let debts: Debt[] = [];

  beforeEach(async () => {
    root = mkdtempSync("/var/tmp/paddock-tree-");
    chmodSync(root, 0o711);
    for (const name of ["env", "cache"]) {
      mkdirSync(join(root, name), { mode: 0o755 });
      chownSync(join(root, name), TREE_UID, TREE_UID);
    }
    stuck = await StuckProcess.start();
    joining = onStep("supervisor answered", (id) => stuck.join(id));
    debts = [];
    driver = new BubblewrapDriver({ home: testHome, removalMs: 500 });
    builder = makeTemplateBuilder({
      home: testHome,
      driver,
      owe: (id, remove) => void debts.push({ id, remove }),
      treeUid: TREE_UID,
      treeGid: TREE_UID,
      policies: new EgressPolicies([], testEnv()),
      hasCaBundle: false,
    });
  });
  afterEach(async () => {
    joining[Symbol.dispose]();
    await stuck[Symbol.asyncDispose]();
    await driver[Symbol.asyncDispose]();
    rmSync(root, { recursive: true });
  });

  async function expectOwed(): Promise<void> {
    expect(debts).toHaveLength(1);
    await stuck.letGo();
    for (const { id, remove } of debts) {
      await vi.waitFor(remove, { timeout: 20_000 });
      await expectGone([id]);
    }
  }

  test("a porter that cannot be removed has read the tree all the same", async () => {
    writeFileSync(join(root, "env", "file"), "x");
    const { sha256, bytes } = await builder.hashTree(join(root, "env"), signal());
    expect([sha256, bytes]).toEqual([expect.stringMatching(/^[0-9a-f]{64}$/), 1]);
    await expectOwed();
  });

  test("a porter that cannot be removed hides no error of the reading", async () => {
    await expect(builder.readFile(join(root, "env"), "nothing", signal())).rejects.toMatchObject({ code: "not_found" });
    await expectOwed();
  });

  test("a tree is none while something may still write to it", async () => {
    const plan = await loadPlan("file");
    const building = builder.build({
      ...{ plan, setupCode: "true", setupHash: "0" },
      ...{ folder: join(root, "env"), cache: join(root, "cache") },
      ...{ signal: signal(), onProgress: () => undefined },
    });
    await expect(building).rejects.toMatchObject({ code: "internal", message: expect.stringContaining("do not end") });
    await expectOwed();
  });
});
