import { existsSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import { cgroupRoots, isFolder, listNames, readText } from "../conformance/driver/scan.ts";
import { listEngineState } from "./engine-state.ts";
import { testHome } from "./home.ts";

const GONE_MS = 20_000;
const FIRST_UID = 199_999;
const LAST_UID = 265_535;
/** The name of another data folder may begin as ours does. */
const OUR_FOLDERS = `${testHome.root}/`;

/**
 * Everything a sandbox could leave on the host: processes of the uid pool, mounts, loop devices, cgroups, folders,
 * locks, and what is ours at the tests' engine.
 */
export function listLeftovers(): string[] {
  const before = listForeign();
  const found = [
    ...sandboxProcesses(),
    ...mounts(),
    ...loopDevices(),
    ...cgroups(),
    ...folders(),
    ...listEngineState(),
  ];
  const foreign = [...before, ...listForeign()];
  return found.filter((item) => !foreign.some((id) => item.includes(id)));
}

/**
 * Sandboxes of other data folders, for another suite may run beside this one. An owner's record is the first thing made
 * and the last removed.
 */
function listForeign(): string[] {
  const folders = ["/var/tmp", tmpdir()].flatMap((folder) =>
    listNames(folder)
      .filter((name) => name.startsWith("paddock-"))
      .map((name) => join(folder, name)),
  );
  return folders
    .flatMap((folder) => [folder, join(folder, "home")])
    .filter((home) => home !== testHome.root)
    .flatMap((home) => listNames(join(home, "owners")));
}

/** Waits for the host to be as it was; names what is left after all. */
export async function expectCleanHost(before: readonly string[] = []): Promise<void> {
  const deadline = performance.now() + GONE_MS;
  let left = listLeftovers().filter((item) => !before.includes(item));
  while (left.length > 0 && performance.now() < deadline) {
    await sleep(20);
    left = listLeftovers().filter((item) => !before.includes(item));
  }
  expect(left).toEqual([]);
}

function sandboxProcesses(): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const status = readFileSync(`/proc/${pid}/status`, "utf8");
        const uid = Number(/^Uid:\t(\d+)/m.exec(status)?.[1]);
        const state = /^State:\t(\w)/m.exec(status)?.[1];
        if (uid < FIRST_UID || uid > LAST_UID || state === "Z" || state === "X") return [];
        // What a sandbox runs sees its folders.
        if (!readFileSync(`/proc/${pid}/mountinfo`, "utf8").includes(OUR_FOLDERS)) return [];
        return [`process ${pid} uid ${uid} ${/^Name:\t(.*)/m.exec(status)?.[1] ?? ""}`];
      } catch {
        return [];
      }
    });
}

/** Of our folders, and of loop devices over our images wherever an engine mounts them. */
function mounts(): string[] {
  const devices = ourLoops().map(({ name }) => `/dev/${name} `);
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line.includes(OUR_FOLDERS) || devices.some((device) => line.includes(device)))
    .map((line) => `mount ${line.split(" ")[4] ?? ""}`);
}

function ourLoops(): { readonly name: string; readonly backing: string }[] {
  return listNames("/sys/block")
    .filter((name) => name.startsWith("loop"))
    .map((name) => ({ name, backing: readText(join("/sys/block", name, "loop/backing_file")).trim() }))
    .filter(({ backing }) => backing.startsWith(OUR_FOLDERS));
}

function loopDevices(): string[] {
  return ourLoops().map(({ name, backing }) => `loop ${name} ${backing}`);
}

function cgroups(): string[] {
  return cgroupRoots().flatMap((root) => findSandboxGroups(root, 5));
}

function findSandboxGroups(folder: string, depth: number): string[] {
  if (depth === 0) return [];
  return listNames(folder).flatMap((name) => {
    const path = join(folder, name);
    if (name.startsWith("sbx_")) return [`cgroup ${path}`];
    return isFolder(path) ? findSandboxGroups(path, depth - 1) : [];
  });
}

function folders(): string[] {
  const rooms = [testHome.run, testHome.owners, testHome.workspaces];
  return rooms.flatMap((room) =>
    (existsSync(room) ? readdirSync(room) : [])
      .filter((name) => name.startsWith("sbx_"))
      .map((name) => `folder ${join(room, name)}`),
  );
}
