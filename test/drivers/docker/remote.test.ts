import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { DockerDriver } from "../../../src/drivers/docker/driver.ts";
import { LABEL } from "../../../src/drivers/docker/engine/labels.ts";
import { oweNothing } from "../../conformance/driver/owe-nothing.ts";
import { lacksEngine } from "../../support/engine.ts";
import { ensureImage } from "../../support/images.ts";
import { lacks } from "../../support/needs.ts";
import { type Harness, openEngine, openHarness } from "./harness.ts";
import { RemoteEngine } from "./remote-engine.ts";

const cannot = lacksEngine() || lacks(process.getuid?.() === 0, "root");

async function countContainers(id: string): Promise<number> {
  return (await (await openEngine()).listContainers({ [LABEL.sandbox]: id })).length;
}

describe.skipIf(cannot)("an engine on another machine", () => {
  let remote: RemoteEngine;
  let harness: Harness;
  let image = "";
  const folder = mkdtempSync(join(tmpdir(), "paddock-remote-test-"));
  const caBundle = join(folder, "bundle.pem");

  beforeAll(async () => {
    image = await ensureImage("base");
    remote = await RemoteEngine.open();
    writeFileSync(caBundle, "one bundle\n");
    harness = await openHarness({ runtime: "runc", env: remote.env, caBundle });
  }, 290_000);

  afterAll(async () => {
    remote?.restore();
    await harness?.[Symbol.asyncDispose]();
    await remote?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  });

  test("is taken as one: the channel on standard streams, the workspace a tmpfs, counters from its stats", async () => {
    await harness.driver.start();
    expect(harness.driver.capabilities.survivesOwner).toBe(false);
    expect(harness.driver.volumes).toBeUndefined();
    await using guest = await harness.open({ image });
    expect(guest.host.stdio).toBeDefined();
    expect(guest.host.isolation).toMatchObject({ distinct_uid: false, limits: { workspace: "memory" } });
    expect((await guest.run("stat", "-fc", "%T", "/workspace")).out).toBe("tmpfs\n");
    await vi.waitFor(() => expect(guest.host.usage().memoryBytes).toBeGreaterThan(0), { timeout: 10_000 });
    expect(guest.host.resetPeak()).toBe(false);
    expect(await countContainers(guest.spec.id)).toBe(1);
  });

  test("users and the CA bundle are in /etc, which the guest cannot change, and go with the sandbox", async () => {
    const guest = await harness.open({ image });
    const names = "import os, pwd, grp; print(pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name)";
    expect((await guest.python(names)).out).toBe("sandbox sandbox\n");
    expect((await guest.run("cat", "/etc/paddock/ca.pem", "/etc/debian_version")).out).toMatch(/^one bundle\n\d+/);
    expect((await guest.run("sh", "-c", "echo x > /etc/mine || echo x >> /etc/passwd")).out).toContain("denied");
    const engine = await openEngine();
    const label = { [LABEL.sandbox]: guest.spec.id };
    expect(await engine.listVolumes(label)).toHaveLength(1);
    await guest.sandbox.close();
    expect(await engine.listVolumes(label)).toEqual([]);
  });

  test("what it would have to be shown is refused before anything is made", async () => {
    const workspace = { kind: "folder", path: folder, uid: 1000, gid: 1000, readOnly: false } as const;
    const mounts = [{ source: folder, target: "/data", writable: false }];
    for (const changes of [{ workspace }, { mounts }]) {
      const spec = harness.makeSpec({ image, ...changes });
      const made = harness.driver.create(spec, AbortSignal.timeout(20_000), oweNothing);
      await expect(made).rejects.toMatchObject({ code: "unsupported", hint: expect.stringContaining("bubblewrap") });
      expect(await countContainers(spec.id)).toBe(0);
      expect(readdirSync(harness.home.owners)).not.toContain(spec.id);
    }
  });

  test("gone in the middle of a call, the call ends with a code, the sandbox too, and a sweep takes the rest", async () => {
    const guest = await harness.open({ image });
    const call = guest.sandbox.runProcess({ argv: ["sleep", "60"], deadlineMs: 50_000 });
    await sleep(200);
    remote.cut();
    const outcome = await call.then(
      ({ ended, error }) => error?.code ?? ended,
      (error: { code?: string }) => error.code,
    );
    expect(outcome).toBe("supervisor_lost");
    await guest.sandbox.close().catch((error: { code?: string }) => expect(error.code).toBe("engine_unavailable"));
    remote.restore();
    await vi.waitFor(
      async () => {
        await harness.driver.reap();
        expect(await countContainers(guest.spec.id)).toBe(0);
      },
      { timeout: 25_000, interval: 1000 },
    );
    expect(readdirSync(harness.home.owners)).not.toContain(guest.spec.id);
  }, 90_000);

  test("silent in the middle of a call, the call does not hang", async () => {
    const guest = await harness.open({ image });
    const call = guest.sandbox.runProcess({ argv: ["sleep", "60"], deadlineMs: 50_000 });
    await sleep(200);
    remote.stall();
    const outcome = await call.then(
      ({ ended, error }) => error?.code ?? ended,
      (error: { code?: string }) => error.code,
    );
    expect(outcome).toBe("supervisor_lost");
    await guest.host.ended;
    remote.restore();
    await guest.sandbox.close();
    expect(await countContainers(guest.spec.id)).toBe(0);
  }, 90_000);

  test("what a killed owner had is removed by the next start's sweep", async () => {
    const program = fileURLToPath(new URL("./remote-owner.ts", import.meta.url));
    const owner = spawn(process.execPath, [program, harness.home.root, image], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, ...remote.env },
    });
    const [line] = (await once(createInterface({ input: owner.stdout }), "line")) as [string];
    expect(await countContainers(line)).toBe(1);
    owner.kill("SIGKILL");
    await once(owner, "exit");
    await using next = new DockerDriver({ home: harness.home, runtime: "runc", env: remote.env });
    await next.start();
    await vi.waitFor(
      async () => {
        await next.reap();
        expect(await countContainers(line)).toBe(0);
      },
      { timeout: 30_000, interval: 1000 },
    );
    expect(readdirSync(harness.home.owners)).not.toContain(line);
  }, 60_000);

  test("reached the wrong way, it is an error that says what is wrong", async () => {
    const other = await RemoteEngine.open();
    try {
      const wrong: readonly (readonly [NodeJS.ProcessEnv, RegExp])[] = [
        [{ DOCKER_HOST: remote.env["DOCKER_HOST"] }, /DOCKER_TLS_VERIFY/],
        [{ ...remote.env, DOCKER_CERT_PATH: other.certificates }, /DOCKER_CERT_PATH|certificate/],
        [{ ...remote.env, DOCKER_CERT_PATH: folder }, /ca\.pem/],
        [{ ...remote.env, DOCKER_HOST: "tcp://127.0.0.1:1" }, /start the engine/],
        [{ ...remote.env, DOCKER_HOST: "unix:///nowhere/docker.sock" }, /DOCKER_HOST/],
        [{ ...remote.env, DOCKER_HOST: "gopher://engine" }, /unix:\/\//],
      ];
      for (const [env, hint] of wrong) {
        await using driver = new DockerDriver({ home: harness.home, env });
        const problem = await driver.start().catch((error: Error & { code: string; hint: string }) => error);
        expect(["engine_unavailable", "invalid_config"]).toContain(problem?.code);
        expect(`${problem?.message} ${problem?.hint}`).toMatch(hint);
      }
    } finally {
      await other[Symbol.asyncDispose]();
    }
  });
});
