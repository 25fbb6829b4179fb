import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import type { App } from "../../src/app.ts";
import { createPaddock, type Lease } from "../../src/index.ts";
import type { SandboxId } from "../../src/model/ids.ts";
import { lacksEngine } from "../support/engine.ts";
import { openTestApp, testEnv, testHome } from "../support/home.ts";
import { ensureImage } from "../support/images.ts";
import { expectGone, expectSoonEmpty, livingRemains, storedRemains } from "../support/remains.ts";

const OWNER = fileURLToPath(new URL("adopting-owner.ts", import.meta.url));
const DOCKER = { driver: "docker" } as const;
const signal = (): AbortSignal => AbortSignal.timeout(30_000);
const closing: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

interface Owner {
  readonly child: ChildProcess;
  readonly id: SandboxId;
}

async function startOwner(...args: readonly string[]): Promise<Owner> {
  const child = spawn(process.execPath, [OWNER, ...args], { env: testEnv(), stdio: ["ignore", "pipe", "inherit"] });
  closing.push(() => child.kill("SIGKILL"));
  const [line] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
  return { child, id: line as SandboxId };
}

async function kill({ child }: Owner): Promise<void> {
  child.kill("SIGKILL");
  await once(child, "exit");
}

async function openDocker(): Promise<App> {
  const app = await openTestApp(DOCKER);
  closing.push(() => app[Symbol.asyncDispose]());
  await app.fleet.start();
  return app;
}

/** A sandbox without owner: its launcher has let the lock go. */
async function orphan(...args: readonly string[]): Promise<SandboxId> {
  const owner = await startOwner(...args);
  await kill(owner);
  await expect.poll(() => readRecord(owner.id).container.orphaned_at).not.toBeNull();
  return owner.id;
}

interface Owned {
  container: { orphaned_at: number | null; generation: number; adoption: { payload: { key: string; state: unknown } } };
}
const recordPath = (id: string): string => join(testHome.owners, id);
const readRecord = (id: string): Owned => JSON.parse(readFileSync(recordPath(id), "utf8")) as Owned;

function changeRecord(id: string, change: (record: Owned) => void): void {
  const record = readRecord(id);
  change(record);
  writeFileSync(recordPath(id), JSON.stringify(record));
}

describe.skipIf(lacksEngine())("adopt", () => {
  beforeAll(async () => {
    await ensureImage("base");
  }, 290_000);

  test("adopt - files, environment and processes go on under the next owner, and close ends everything", async () => {
    const id = await orphan();
    await using paddock = await createPaddock({ env: testEnv(), config: DOCKER });
    const lease = await paddock.adopt(id);
    expect((await lease.sandbox.files.read("note")).toString()).toBe("kept");
    const shown = await lease.sandbox.runProcess({ argv: ["/bin/sh", "-c", "echo $FROM"] });
    expect(shown.stdout.text).toBe("the first owner\n");
    expect([lease.nodeType, lease.limits.pids]).toEqual(["file", 128]);
    const [listed] = await lease.sandbox.processes();
    const process = await lease.sandbox.attach(listed?.pid ?? 0, {});
    await process.write("heard\n");
    expect((await process.done).stdout.text).toBe("heard after\n");
    await lease.close();
    await expectGone([id]);
  });

  test("adopt - the egress policy of the first owner holds for the next one", async () => {
    const server = createServer((_request, response) => response.end("reached"));
    await once(server.listen(0, "127.0.0.1"), "listening");
    closing.push(() => server.close());
    const { port } = server.address() as AddressInfo;
    const trusted = [{ name: "inside.test", port, address: "127.0.0.1" }];
    const id = await orphan("60000", `inside.test:${port}`);
    const app = await openTestApp({ ...DOCKER, trustedUpstreams: trusted });
    closing.push(() => app[Symbol.asyncDispose]());
    const lease = await app.fleet.adopt(id, signal());
    const script = (host: string): string =>
      `import urllib.request as r\ntry: print(r.urlopen('http://${host}').read().decode())\nexcept Exception as e: print(type(e).__name__)`;
    const ask = async (host: string): Promise<string> =>
      (await lease.sandbox.runCode({ language: "python", code: script(host) })).stdout.text.trim();
    expect(await ask(`inside.test:${port}`)).toBe("reached");
    expect(await ask("elsewhere.test")).toBe("HTTPError");
    await lease.close();
    await expectGone([id]);
  });

  test("adopt - of two fleets one gets it; one with an owner is refused and unharmed", async () => {
    const id = await orphan();
    const [one, other] = [await openDocker(), await openDocker()];
    const results = await Promise.allSettled([one, other].map((app) => app.fleet.adopt(id, signal())));
    const won = results.flatMap((result): Lease[] => (result.status === "fulfilled" ? [result.value] : []));
    const refused = results.flatMap((result) => (result.status === "rejected" ? [result.reason as unknown] : []));
    expect(won).toHaveLength(1);
    expect(refused).toMatchObject([{ code: "adoption_refused" }]);
    expect((await won[0]?.sandbox.runProcess({ argv: ["/bin/true"] }))?.report?.exit_code).toBe(0);
    await won[0]?.close();
    await expectGone([id]);
  });

  test.each<[string, (record: Owned) => void]>([
    ["another generation", ({ container }) => (container.generation += 1)],
    [
      "a state with a field too many",
      ({ container }) => Object.assign(container.adoption.payload.state as object, { root: 1 }),
    ],
    [
      "a state of another version",
      ({ container }) => Object.assign(container.adoption.payload.state as object, { version: 2 }),
    ],
    ["no key", ({ container }) => Object.assign(container.adoption.payload, { key: null })],
  ])("adopt - a record with %s is refused, and nothing is left", async (_title, change) => {
    const id = await orphan();
    changeRecord(id, change);
    const app = await openDocker();
    await expect(app.fleet.adopt(id, signal())).rejects.toMatchObject({ code: "adoption_refused" });
    await app.fleet.reap();
    await expectGone([id]);
  });

  test("adopt - a caller that leaves leaves nothing", async () => {
    const id = await orphan();
    const app = await openDocker();
    const leaving = new AbortController();
    const adopting = app.fleet.adopt(id, leaving.signal);
    setImmediate(() => leaving.abort());
    const outcome = await adopting.then(
      (lease) => lease.close(),
      (error: unknown) => error,
    );
    if (outcome !== undefined && storedRemains([id]).length > 0) {
      // It left before anything was taken: the orphan waits as before.
      await (await app.fleet.adopt(id, signal())).close();
    }
    await expectGone([id]);
  });

  test("sweep - the interval removes an orphan after its grace, while its fleet lives on", async () => {
    const { Fleet } = await import("../../src/fleet/fleet.ts");
    const app = await openDocker();
    await using fleet = new Fleet(app.config, app.driver, testEnv(), { sweepMs: 200 });
    await fleet.start();
    const owner = await startOwner("1500");
    await kill(owner);
    expect(livingRemains([owner.id])).not.toEqual([]);
    await expect.poll(() => storedRemains([owner.id]), { timeout: 10_000 }).toEqual([]);
    await expectSoonEmpty(() => livingRemains([owner.id]));
  });
});

test("adopt - a driver whose sandboxes end with their owner says so", async () => {
  await using paddock = await createPaddock({ env: testEnv(), config: { driver: "bubblewrap" } });
  await expect(paddock.open({ nodeType: "file", bare: true, survive: "10m" })).rejects.toMatchObject({
    code: "unsupported",
  });
  await expect(paddock.adopt("sbx_00000000000000000000000000")).rejects.toMatchObject({ code: "unsupported" });
  await expect(paddock.adopt("../x")).rejects.toMatchObject({ code: "not_found" });
  await expect(paddock.open({ survive: "8d" })).rejects.toMatchObject({ code: "invalid_request" });
});
