import { type Dirent, existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import { testHome } from "./home.ts";

const FIRST_UID = 199_999;
const LAST_UID = 265_535;

/** Everything a sandbox could leave on the host: processes of the uid pool, mounts, loop devices, cgroups, folders, locks. */
export function listLeftovers(): string[] {
  return [...sandboxProcesses(), ...mounts(), ...loopDevices(), ...cgroups(), ...folders()];
}

/** Waits at most 2 s for the host to be as it was; names what is left. */
export async function expectCleanHost(before: readonly string[] = []): Promise<void> {
  const deadline = performance.now() + 2000;
  let left = listLeftovers().filter((item) => !before.includes(item));
  while (left.length > 0 && performance.now() < deadline) {
    await sleep(20);
    left = listLeftovers().filter((item) => !before.includes(item));
  }
  expect(left).toEqual([]);
}

export function sandboxProcesses(): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const status = readFileSync(`/proc/${pid}/status`, "utf8");
        const uid = Number(/^Uid:\t(\d+)/m.exec(status)?.[1]);
        const state = /^State:\t(\w)/m.exec(status)?.[1];
        if (uid < FIRST_UID || uid > LAST_UID || state === "Z" || state === "X") return [];
        return [`process ${pid} uid ${uid} ${/^Name:\t(.*)/m.exec(status)?.[1] ?? ""}`];
      } catch {
        return [];
      }
    });
}

function mounts(): string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line.includes(testHome.root))
    .map((line) => `mount ${line.split(" ")[4] ?? ""}`);
}

function loopDevices(): string[] {
  return readdirSync("/sys/block")
    .filter((name) => name.startsWith("loop"))
    .flatMap((name) => {
      const file = join("/sys/block", name, "loop/backing_file");
      if (!existsSync(file)) return [];
      const backing = readFileSync(file, "utf8").trim();
      return backing.startsWith(testHome.root) ? [`loop ${name} ${backing}`] : [];
    });
}

function cgroups(): string[] {
  const roots = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => / - cgroup2? /.test(line))
    .map((line) => line.split(" ")[4] ?? "");
  return roots.flatMap((root) => findSandboxGroups(root, 5));
}

function findSandboxGroups(folder: string, depth: number): string[] {
  if (depth === 0) return [];
  return listFolder(folder)
    .filter((entry) => entry.isDirectory())
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      if (entry.name.startsWith("sbx_")) return [`cgroup ${path}`];
      return findSandboxGroups(path, depth - 1);
    });
}

/** Groups come and go while they are listed. */
function listFolder(folder: string): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch {
    return [];
  }
}

function folders(): string[] {
  const rooms = [testHome.run, testHome.owners, testHome.workspaces];
  return rooms.flatMap((room) =>
    (existsSync(room) ? readdirSync(room) : [])
      .filter((name) => name.startsWith("sbx_"))
      .map((name) => `folder ${join(room, name)}`),
  );
}
