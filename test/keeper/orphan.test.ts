import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { findKept } from "../../src/keeper/client.ts";
import type { KeeperCard } from "../../src/keeper/protocol.ts";
import { isAlive } from "../../src/lib/process-identity.ts";
import { CliProcess, type CliResult, runCli } from "../support/cli.ts";
import { lacksEngine } from "../support/engine.ts";
import { testEnv, testHome } from "../support/home.ts";
import { ensureImage } from "../support/images.ts";
import { expectGone, livingRemains, storedRemains } from "../support/remains.ts";

const kept = new Set<string>();

afterEach(async () => {
  for (const id of kept) if (storedRemains([id]).length > 0) await runCli(["kill", id]);
  kept.clear();
});

interface Listed {
  readonly card: KeeperCard;
  readonly orphaned?: boolean;
  readonly processes?: readonly { readonly running: boolean; readonly argv: readonly string[] }[];
}

const run = async (args: readonly string[], env: NodeJS.ProcessEnv = testEnv()): Promise<CliResult> =>
  await runCli(args, { env });

const list = async (): Promise<readonly Listed[]> => JSON.parse((await run(["ps", "--json"])).stdout) as Listed[];
const listed = async (id: string): Promise<Listed | undefined> =>
  (await list()).find(({ card }) => card.sandbox_id === id);

/** A kept sandbox of the docker driver, chosen by an option, so that later commands do not know it. */
async function keep(ttl = "5m"): Promise<string> {
  const code = "echo from the task; echo text > file";
  const args = ["run", "--driver", "docker", "--bare", "--keep", "--ttl", ttl, "-t", "file", "-c", code];
  const { code: status, stderr } = await run(args);
  const id = /kept sandbox (sbx_\w{26})/.exec(stderr)?.[1] ?? "";
  expect([status, stderr]).toEqual([0, expect.stringContaining("kept sandbox") as string]);
  kept.add(id);
  return id;
}

async function killKeeper(id: string): Promise<KeeperCard> {
  const card = findKept(testHome.run, id);
  process.kill(card.keeper.pid, "SIGKILL");
  await expect.poll(() => isAlive(card.keeper)).toBe(false);
  return card;
}

describe.skipIf(lacksEngine())("orphans", () => {
  beforeAll(async () => {
    await ensureImage("base");
  }, 290_000);

  test("orphan - is listed, and exec brings it back with files, output, processes and the time it had left", async () => {
    const id = await keep();
    const sleeper = new CliProcess(["exec", id, "sh", "-c", "echo on; exec sleep 60"]);
    await sleeper.saw("stdout", "on\n");
    const before = await killKeeper(id);
    expect((await sleeper.exited).code).toBe(70);
    expect(await listed(id)).toMatchObject({ orphaned: true, card: { sandbox_id: id } });
    expect((await run(["ps"])).stdout).toMatch(new RegExp(`^${id} .*orphaned`, "m"));

    expect(await run(["exec", id, "cat", "file"])).toMatchObject({ code: 0, stdout: "text\n", stderr: "" });
    const after = findKept(testHome.run, id);
    expect(after.keeper.pid).not.toBe(before.keeper.pid);
    expect([after.created, after.expires]).toEqual([before.created, before.expires]);
    const now = await listed(id);
    expect(now?.orphaned).toBeUndefined();
    expect(now?.processes?.filter(({ running }) => running).map(({ argv }) => argv.at(-1))).toContain(
      "echo on; exec sleep 60",
    );
    expect((await run(["logs", id])).stdout).toBe("from the task\non\ntext\n");

    await killKeeper(id);
    expect(await run(["kill", id])).toMatchObject({ code: 0, stderr: `ended ${id}\n` });
    await expectGone([id]);
  });

  test("orphan - of two commands at once one brings it back, and both run", async () => {
    const id = await keep();
    await killKeeper(id);
    const results = await Promise.all(["one", "two"].map((word) => run(["exec", id, "echo", word])));
    expect(results.map(({ code, stdout, stderr }) => [code, stdout, stderr])).toEqual([
      [0, "one\n", ""],
      [0, "two\n", ""],
    ]);
    expect((await list()).filter(({ card }) => card.sandbox_id === id)).toHaveLength(1);
    expect((await run(["kill", id])).code).toBe(0);
    await expectGone([id]);
  });

  test("orphan - logs brings it back; its time goes on from the first start and ends it", async () => {
    const id = await keep("6s");
    await killKeeper(id);
    expect(await run(["logs", id])).toMatchObject({ code: 0, stdout: "from the task\n" });
    const { keeper, expires } = findKept(testHome.run, id);
    await expect.poll(() => isAlive(keeper), { timeout: 10_000 }).toBe(false);
    expect(Date.now()).toBeGreaterThanOrEqual(Date.parse(expires));
    await expectGone([id]);
  });

  test("orphan - one whose time is over is listed no more, and the next start removes it", async () => {
    const id = await keep("2s");
    const { expires } = await killKeeper(id);
    await expect.poll(() => Date.now() > Date.parse(expires), { timeout: 5000 }).toBe(true);
    expect(await listed(id)).toBeUndefined();
    expect(await run(["exec", id, "true"])).toMatchObject({ code: 66 });
    expect(livingRemains([id])).not.toEqual([]);
    expect((await run(["run", "--bare", "-q", "-t", "file", "-c", "true"])).code).toBe(0);
    await expectGone([id]);
  });
});
