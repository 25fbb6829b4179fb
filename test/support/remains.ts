import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import { createApp } from "../../src/app.ts";
import type { Home } from "../../src/config/home.ts";
import { testHome } from "./home.ts";

const POLL_MS = 20;

/** Ids of the sandboxes that a process owns: its launcher holds their owner files. */
export function sandboxesOf(pid: number, home: Home = testHome): string[] {
  return listNames(home.owners).filter((id) => {
    const text = readText(join(home.owners, id));
    const launcher = text === "" ? undefined : (JSON.parse(text) as { launcher?: { pid: number } }).launcher;
    return launcher !== undefined && parentOf(launcher.pid) === pid;
  });
}

/** What still runs or is mounted of these sandboxes: processes that see their folders, cgroups, loop devices. */
export function livingRemains(ids: readonly string[]): string[] {
  const named = (text: string): boolean => ids.some((id) => text.includes(id));
  const processes = listNames("/proc")
    .filter((name) => /^\d+$/.test(name) && named(readText(join("/proc", name, "mountinfo"))))
    .map(
      (pid) =>
        `process ${pid} ${readText(join("/proc", pid, "cmdline"))
          .replaceAll("\0", " ")
          .slice(0, 80)}`,
    );
  const loops = listNames("/sys/block")
    .filter((name) => name.startsWith("loop") && named(readText(join("/sys/block", name, "loop/backing_file"))))
    .map((name) => `loop device ${name}`);
  return [...processes, ...loops, ...cgroupRoots().flatMap((root) => findGroups(root, ids, 5))];
}

/** Folders, sockets, images and owner files of these sandboxes. */
export function storedRemains(ids: readonly string[], home: Home = testHome): string[] {
  return [home.run, home.owners, home.workspaces].flatMap((room) =>
    listNames(room)
      .filter((name) => ids.some((id) => name.includes(id)))
      .map((name) => join(room, name)),
  );
}

/** Waits at most 2 s until `list` is empty; names what is left. */
export async function expectSoonEmpty(list: () => readonly string[]): Promise<void> {
  const deadline = performance.now() + 2000;
  while (list().length > 0 && performance.now() < deadline) await sleep(POLL_MS);
  expect(list()).toEqual([]);
}

/** The sandboxes are gone with everything, within 2 s. */
export async function expectGone(ids: readonly string[], home: Home = testHome): Promise<void> {
  expect(ids).not.toEqual([]);
  await expectSoonEmpty(() => [...livingRemains(ids), ...storedRemains(ids, home)]);
}

/** Nothing of the sandboxes lives 2 s after their owner died, and the next start removes what it stored. */
export async function expectReaped(ids: readonly string[], home: Home = testHome): Promise<void> {
  expect(ids).not.toEqual([]);
  await expectSoonEmpty(() => livingRemains(ids));
  await using app = await createApp({ env: { ...process.env, PADDOCK_HOME: home.root } });
  await app.fleet.start();
  expect(storedRemains(ids, home)).toEqual([]);
}

function parentOf(pid: number): number | undefined {
  const parent = /^PPid:\t(\d+)/m.exec(readText(`/proc/${pid}/status`))?.[1];
  return parent === undefined ? undefined : Number(parent);
}

function cgroupRoots(): string[] {
  return readText("/proc/self/mountinfo")
    .split("\n")
    .filter((line) => / - cgroup2? /.test(line))
    .map((line) => line.split(" ")[4] ?? "");
}

function findGroups(folder: string, ids: readonly string[], depth: number): string[] {
  return listNames(folder).flatMap((name) => {
    const path = join(folder, name);
    if (ids.includes(name)) return [`cgroup ${path}`];
    return depth > 1 && isFolder(path) ? findGroups(path, ids, depth - 1) : [];
  });
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/** Nothing for what is no folder, or vanished. */
export function listNames(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
