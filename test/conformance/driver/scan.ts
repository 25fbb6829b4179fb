import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Home } from "../../../src/config/home.ts";

const POLL_MS = 20;
const CGROUP_DEPTH = 5;

/**
 * What still runs or is mounted of these sandboxes: processes that see their folders, cgroups, loop devices, mounts.
 */
export function livingRemains(ids: readonly string[]): string[] {
  const named = (text: string): boolean => ids.some((id) => text.includes(id));
  const processes = listNames("/proc")
    .filter((name) => /^\d+$/.test(name) && named(readText(join("/proc", name, "mountinfo"))))
    .map((pid) => `process ${pid} ${readCommand(pid)}`);
  const loops = listNames("/sys/block")
    .filter((name) => name.startsWith("loop") && named(readText(join("/sys/block", name, "loop/backing_file"))))
    .map((name) => `loop device ${name}`);
  return [...processes, ...loops, ...cgroupRoots().flatMap((root) => findGroups(root, ids, CGROUP_DEPTH))];
}

/** Folders, sockets, images and owner files of these sandboxes. */
export function storedRemains(ids: readonly string[], home: Home): string[] {
  return [home.run, home.owners, home.workspaces].flatMap((room) =>
    listNames(room)
      .filter((name) => ids.some((id) => name.includes(id)))
      .map((name) => join(room, name)),
  );
}

/** Waits until `list` is empty; resolves with what is left after the time. */
export async function awaitEmpty(list: () => readonly string[], timeoutMs: number): Promise<readonly string[]> {
  const deadline = performance.now() + timeoutMs;
  let left = list();
  while (left.length > 0 && performance.now() < deadline) {
    await sleep(POLL_MS);
    left = list();
  }
  return left;
}

/** Waits until `check` holds; the things waited for here have no event to await. */
export async function until(check: () => boolean | Promise<boolean>, timeoutMs = 20_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await check())) {
    if (performance.now() > deadline) throw new Error(`still not so after ${timeoutMs} ms: ${String(check)}`);
    await sleep(POLL_MS);
  }
}

export function readCommand(pid: string): string {
  return readText(join("/proc", pid, "cmdline"))
    .replaceAll("\0", " ")
    .slice(0, 80);
}

export function cgroupRoots(): string[] {
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

export function isFolder(path: string): boolean {
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

export function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
