import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DockerDriver } from "../../../src/drivers/docker/driver.ts";
import { LABEL } from "../../../src/drivers/docker/engine/labels.ts";
import type { SandboxSpec } from "../../../src/drivers/driver.ts";
import type { Isolation } from "../../../src/model/isolation.ts";
import { Channel } from "../../../src/sandbox/channel/channel.ts";
import { oweNothing } from "../../conformance/driver/owe-nothing.ts";
import { lacksEngine, testEngine } from "../../support/engine.ts";
import { lacks } from "../../support/needs.ts";
import { engineEnv, type Harness, hasBootstrap, openEngine, openHarness, takeUp } from "./harness.ts";

const cannot = lacksEngine() || lacks(hasBootstrap, "mmdebstrap");
const SANDBOX_EVENTS = { relay: () => undefined, breach: () => undefined };

async function listLeft({ home }: Harness, id: string): Promise<string[]> {
  const engine = await openEngine();
  const label = { [LABEL.sandbox]: id };
  const [containers, volumes] = await Promise.all([engine.listContainers(label), engine.listVolumes(label)]);
  const records = readdirSync(home.owners).filter((name) => name.includes(id));
  const workspaces = existsSync(`${home.workspaces}/${id}`) ? ["workspace"] : [];
  return [...containers.map(() => "container"), ...volumes.map(() => "volume"), ...records, ...workspaces];
}

describe.skipIf(cannot)("the life of a container", () => {
  let harness: Harness;

  beforeAll(async () => {
    harness = await openHarness({ runtime: "runc" });
  });

  afterAll(async () => {
    await harness[Symbol.asyncDispose]();
  });

  test("destroyed, nothing of it is left; twice is once", async () => {
    const guest = await harness.open();
    expect((await guest.run("/opt/paddock/node/bin/node", "-e", "console.log(6 * 7)")).out).toBe("42\n");
    expect(await listLeft(harness, guest.spec.id)).toEqual(
      expect.arrayContaining(["container", "volume", guest.spec.id]),
    );
    await Promise.all([guest.sandbox.close(), guest.sandbox.close(), guest.host.destroy()]);
    expect(await listLeft(harness, guest.spec.id)).toEqual([]);
    await expect(guest.host.ended).resolves.toMatchObject({ kind: "killed" });
  });

  test("its users lie in its own run folder, out of the guest's reach, and go with it", async () => {
    await using guest = await harness.open();
    const { spec, run } = guest;
    const [uid, user] = [(await run("id", "-u")).out.trim(), (await run("id", "-un")).out.trim()];
    const passwd = join(harness.home.run, spec.id, "users", "passwd");
    expect(user).toBe("sandbox");
    expect(readFileSync(passwd, "utf8")).toContain(`sandbox:x:${uid}:`);
    expect((await run("cat", "/etc/passwd")).out).toBe(readFileSync(passwd, "utf8"));
    expect(readdirSync(spec.socketDir)).toEqual(["host.sock"]);
    expect((await run("sh", "-c", "echo root2:x:0:0::/: >> /etc/passwd")).code).not.toBe(0);
    expect(readdirSync(harness.home.bin).filter((name) => name.startsWith("users"))).toEqual([]);
    await guest.sandbox.close();
    expect(existsSync(passwd)).toBe(false);
  });

  test("abandoned at any moment of its making, nothing is left", async () => {
    for (const afterMs of [0, 5, 20, 50, 90, 130]) {
      const spec = harness.makeSpec();
      const aborter = new AbortController();
      const made = harness.driver.create(spec, aborter.signal, oweNothing);
      void sleep(afterMs).then(() => aborter.abort());
      const outcome = await made.then(
        async (host) => {
          await host.destroy();
          return "made";
        },
        (error: { code?: string }) => error.code,
      );
      expect(["made", "cancelled"]).toContain(outcome);
      expect(await listLeft(harness, spec.id)).toEqual([]);
    }
  });

  test("eight at once, each its own uid", async () => {
    const guests = await Promise.all(Array.from({ length: 8 }, () => harness.open()));
    const uids = await Promise.all(guests.map(async ({ run }) => (await run("id", "-u")).out));
    expect(new Set(uids).size).toBe(8);
    await Promise.all(guests.map(({ sandbox }) => sandbox.close()));
  });

  test("paused, it does nothing, and a kill still ends it", async () => {
    await using guest = await harness.open();
    await guest.host.pause?.();
    const before = guest.host.usage().cpuTotalUs;
    await sleep(300);
    expect(guest.host.usage().cpuTotalUs).toBe(before);
    await guest.host.resume?.();
    expect((await guest.run("echo", "on")).out).toBe("on\n");
    await guest.host.pause?.();
    await guest.host.kill("test");
    await expect(guest.host.ended).resolves.toEqual({ kind: "killed", detail: "test" });
  });

  test("a program that ends at once is a failed create that says why", async () => {
    await using broken = await openHarness({
      runtime: "runc",
      command: ["/usr/bin/python3", "-c", "raise SystemExit('no luck')"],
    });
    const spec = broken.makeSpec();
    const made = broken.driver.create(spec, AbortSignal.timeout(20_000), oweNothing);
    const outcome = await made.then(
      async (host) => {
        const { detail } = await host.ended;
        await host.destroy();
        return detail;
      },
      (error: Error) => error.message,
    );
    expect(outcome).toContain("no luck");
    expect(await listLeft(broken, spec.id)).toEqual([]);
  });

  test("without its filter it is refused", async () => {
    const seccomp = "unconfined";
    await using open = await openHarness({ runtime: "runc", seccomp });
    const spec = open.makeSpec();
    await expect(open.driver.create(spec, AbortSignal.timeout(20_000), oweNothing)).rejects.toMatchObject({
      code: "isolation_failed",
    });
    expect(await listLeft(open, spec.id)).toEqual([]);
  });

  test("an image that is not there, and a runtime that is not there, have their codes", async () => {
    const spec = harness.makeSpec({ image: `sha256:${"0".repeat(64)}` });
    await expect(harness.driver.create(spec, AbortSignal.timeout(20_000), oweNothing)).rejects.toMatchObject({
      code: "image_missing",
    });
    await using other = new DockerDriver({ home: harness.home, runtime: "nothing", env: engineEnv() });
    await expect(other.start()).rejects.toMatchObject({ code: "driver_unavailable" });
    expect(await other.probe(oweNothing)).toEqual([
      expect.objectContaining({ status: "failed", hint: expect.stringContaining("daemon.json") }),
    ]);
  });

  test("what no record owns is swept by label after its grace; what is not ours stays", async () => {
    const engine = await openEngine();
    const fleet = readFileSync(`${harness.home.root}/fleet-id`, "utf8").slice(0, 32);
    const signal = AbortSignal.timeout(20_000);
    const body = (label: string) => ({
      Image: harness.image,
      Cmd: ["true"],
      Labels: { [LABEL.fleet]: label, [LABEL.sandbox]: "stray" },
    });
    const stray = await engine.createContainer(`stray-${process.pid}`, body(fleet), signal);
    const foreign = await engine.createContainer(`foreign-${process.pid}`, body("another"), signal);
    expect((await harness.driver.reap()).reaped).not.toContain("stray");
    await using eager = new DockerDriver({ home: harness.home, env: engineEnv(), strayGraceMs: 0 });
    expect((await eager.reap()).reaped).toContain("stray");
    expect(await engine.inspectContainer(stray)).toBeUndefined();
    expect(await engine.removeContainer(foreign)).toBe(true);
  });
});

interface Owned {
  readonly spec: SandboxSpec;
  readonly isolation: Isolation;
}

/** Starts an owner; resolves once its sandbox lives. */
async function startOwner(home: string): Promise<Owned & { readonly kill: () => Promise<void> }> {
  const program = fileURLToPath(new URL("./owner.ts", import.meta.url));
  const child = spawn(process.execPath, [program, home], { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
  const kill = async (): Promise<void> => {
    child.kill("SIGKILL");
    await once(child, "exit");
  };
  return { ...(JSON.parse(line) as Owned), kill };
}

describe.skipIf(cannot)("adoption", () => {
  test("the next owner takes a living sandbox over, once, with its key and state", async () => {
    await using harness = await openHarness({ runtime: "runc" });
    const { driver } = harness;
    await driver.start();
    const owner = await startOwner(harness.home.root);
    const { spec, isolation } = owner;
    const soon = (): AbortSignal => AbortSignal.timeout(20_000);
    await expect(driver.adopt(spec.id, soon(), oweNothing)).rejects.toMatchObject({ code: "adoption_refused" });
    await owner.kill();
    const adopted = await driver.adopt(spec.id, soon(), oweNothing);
    expect(adopted).toMatchObject({ state: { lease: 7 }, key: spec.key, socketDir: spec.socketDir });
    expect(adopted.host.isolation).toEqual(isolation);
    await using other = new DockerDriver({ home: harness.home, runtime: "runc", env: engineEnv() });
    await expect(other.adopt(spec.id, soon(), oweNothing)).rejects.toMatchObject({ code: "adoption_refused" });
    const channel = await Channel.listen(adopted.socketDir, adopted.key, SANDBOX_EVENTS);
    const guest = await takeUp(spec, adopted.host, channel);
    expect((await guest.run("cat", "/workspace/note")).out).toBe("kept\n");
    expect(guest.host.usage().memoryBytes).toBeGreaterThan(0);
    await guest.sandbox.close();
    expect(await listLeft(harness, spec.id)).toEqual([]);
  });

  test("a container that somebody stopped or started again is refused and removed", async () => {
    await using harness = await openHarness({ runtime: "runc" });
    const owner = await startOwner(harness.home.root);
    const { id } = owner.spec;
    await owner.kill();
    spawnSync("docker", ["--host", testEngine().host, "restart", "--time", "0", `paddock-${id}`]);
    await harness.driver.start();
    await expect(harness.driver.adopt(id, AbortSignal.timeout(5000), oweNothing)).rejects.toMatchObject({
      code: expect.stringMatching(/adoption_refused|not_found/),
    });
    await harness.driver.reap();
    expect(await listLeft(harness, id)).toEqual([]);
  });
});
