import { spawn } from "node:child_process";
import { once } from "node:events";
import { chownSync, existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterEach, expect, test } from "vitest";
import { makeSandboxId } from "../../src/model/ids.ts";
import { Channel } from "../../src/sandbox/channel/channel.ts";
import type { SandboxEnd } from "../../src/sandbox/host.ts";
import { Sandbox } from "../../src/sandbox/sandbox.ts";
import { type makeBox, SETTINGS } from "./supervised.ts";

const OWNER = fileURLToPath(new URL("owner.ts", import.meta.url));
const EVENTS = { relay: () => undefined, breach: () => undefined };
const cleanups: (() => void | Promise<void>)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

interface Left {
  readonly box: ReturnType<typeof makeBox>;
  readonly supervisor: number;
  readonly running: number;
}

/** A sandbox whose owner was killed in the middle of a call. */
async function killFirstOwner(): Promise<Left> {
  const owner = spawn(process.execPath, [OWNER], { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = await once(createInterface({ input: owner.stdout }), "line");
  const left = JSON.parse(String(line)) as Left;
  cleanups.push(() => {
    process.kill(left.supervisor, "SIGKILL");
    rmSync(left.box.folder, { recursive: true, force: true });
  });
  owner.kill("SIGKILL");
  await once(owner, "exit");
  return left;
}

/** What a driver's `adopt` gives, as far as the handle needs it. */
async function takeOver({ box }: Left): Promise<Sandbox> {
  const channel = await Channel.listen(box.socketDir, box.key, EVENTS);
  cleanups.push(() => channel[Symbol.asyncDispose]());
  const ended = new Promise<SandboxEnd>(() => undefined);
  const host = {
    ended,
    usage: () => ({}),
    resetPeak: () => false,
    kill: async () => undefined,
    destroy: async () => undefined,
  };
  const isolation = {
    driver: "test",
    runtime: "bwrap",
    version: "test",
    kernel: "test",
    seccomp: "none",
    distinct_uid: true,
    limits: { mode: "rlimit", workspace: "polled" },
  } as const;
  const parts = { id: makeSandboxId(), channel, host: { ...host, isolation } };
  return await Sandbox.open(parts, SETTINGS, AbortSignal.timeout(20_000));
}

test("adoption - a second owner finds the supervisor, its processes and the rest of their output", async () => {
  const left = await killFirstOwner();
  const sandbox = await takeOver(left);
  expect(await sandbox.processes()).toMatchObject([{ pid: left.running, running: true }]);
  const running = await sandbox.attach(left.running, {});
  await running.write("again\n");
  const result = await running.done;
  expect(result).toMatchObject({ ended: "exit", report: { exit_code: 0 } });
  expect(result.stdout.text).toBe("after again\n");
  expect((await sandbox.runProcess({ argv: ["/usr/bin/true"] })).report?.exit_code).toBe(0);
});

test("adoption - the supervisor waits for an owner that comes late", async () => {
  const left = await killFirstOwner();
  // Longer than the quarter second after which it dials no more seldom.
  await sleep(1000);
  const sandbox = await takeOver(left);
  expect((await sandbox.runProcess({ argv: ["/usr/bin/true"] })).report?.exit_code).toBe(0);
});

test("adoption - owners that leave one after the other, their socket with them, are followed", async () => {
  const left = await killFirstOwner();
  const path = join(left.box.socketDir, "host.sock");
  const { uid, gid } = statSync(path);
  for (let round = 0; round < 5; round++) {
    const channel = await Channel.listen(left.box.socketDir, left.box.key, EVENTS);
    chownSync(path, uid, gid); // as a driver does
    await channel.take(5000);
    await channel[Symbol.asyncDispose]();
  }
  const taking = takeOver(left);
  while (!existsSync(path)) await new Promise(setImmediate);
  chownSync(path, uid, gid);
  expect(await (await taking).processes()).toHaveLength(1);
});

test("adoption - the new socket has the dead one's owner and mode", async () => {
  const left = await killFirstOwner();
  const path = join(left.box.socketDir, "host.sock");
  const before = statSync(path);
  await takeOver(left);
  const { uid, gid, mode } = statSync(path);
  expect({ uid, gid, mode }).toEqual({ uid: before.uid, gid: before.gid, mode: before.mode });
});

test("adoption - a socket that is listened on is not taken from its owner", async () => {
  const folder = mkdtempSync(join(tmpdir(), "paddock-adoption-"));
  cleanups.push(() => rmSync(folder, { recursive: true }));
  const key = "00112233445566778899aabbccddeeff";
  const first = await Channel.listen(folder, key, EVENTS);
  cleanups.push(() => first[Symbol.asyncDispose]());
  await expect(Channel.listen(folder, key, EVENTS)).rejects.toMatchObject({ code: "EADDRINUSE" });
  expect(statSync(join(folder, "host.sock")).isSocket()).toBe(true);
});
