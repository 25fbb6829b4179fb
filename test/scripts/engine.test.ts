import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { lacksEngine, testEngine } from "../support/engine.ts";

/** The script on a folder, and so an engine, of its own. */
function runEngine(folder: string, ...args: string[]): { status: number | null; stdout: string } {
  const env = { ...process.env, PADDOCK_ENGINE_DIR: folder };
  const { status, stdout } = spawnSync("bash", ["scripts/engine.sh", ...args], { env, encoding: "utf8" });
  return { status, stdout: stdout.trim() };
}

function ask(socket: string, path: string): string {
  return spawnSync("curl", ["-s", "--unix-socket", socket, `http://engine${path}`], { encoding: "utf8" }).stdout;
}

const readPid = (file: string): number => Number(readFileSync(file, "utf8"));

test.skipIf(lacksEngine())("engine - it starts once, survives being killed, and leaves nothing when stopped", () => {
  const folder = mkdtempSync("/var/tmp/paddock-engine-test-");
  const socket = join(folder, "docker.sock");
  try {
    expect(runEngine(folder, "status").status).toBe(3);
    expect(runEngine(folder, "start")).toEqual({ status: 0, stdout: socket });
    const first = readPid(join(folder, "dockerd.pid"));
    expect(runEngine(folder, "start")).toEqual({ status: 0, stdout: socket });
    expect(readPid(join(folder, "dockerd.pid"))).toBe(first);
    expect(ask(socket, "/_ping")).toBe("OK");
    process.kill(first, "SIGKILL");
    expect(runEngine(folder, "start")).toEqual({ status: 0, stdout: socket });
    const second = readPid(join(folder, "dockerd.pid"));
    expect(second).not.toBe(first);
    process.kill(second, "SIGKILL");
    process.kill(readPid(join(folder, "exec/containerd/containerd.pid")), "SIGKILL");
    expect(runEngine(folder, "start", "--socket", join(folder, "other.sock")).stdout).toBe(join(folder, "other.sock"));
    expect(runEngine(folder, "status")).toEqual({ status: 0, stdout: join(folder, "other.sock") });
  } finally {
    expect(runEngine(folder, "stop").status).toBe(0);
  }
  expect(readFileSync("/proc/mounts", "utf8")).not.toContain(folder);
  expect(existsSync(join(folder, "dockerd.pid"))).toBe(false);
  rmSync(folder, { recursive: true });
});

test.skipIf(lacksEngine())("engine - the tests' own is nobody else's", () => {
  const info = JSON.parse(ask(testEngine().socket, "/info")) as { DockerRootDir: string; LiveRestoreEnabled: boolean };
  expect(info).toMatchObject({ DockerRootDir: expect.stringContaining("/paddock-engine-"), LiveRestoreEnabled: true });
  expect(process.env["DOCKER_HOST"]).toBe(testEngine().host);
});

test("engine - a wrong use is a usage error", () => {
  for (const args of [[], ["restart"], ["start", "--socket"], ["start", "--sockets", "x"]])
    expect(runEngine("/nowhere", ...args).status).toBe(64);
});
