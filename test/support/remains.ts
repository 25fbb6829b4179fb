import { join } from "node:path";
import { expect } from "vitest";
import { createApp } from "../../src/app.ts";
import type { Home } from "../../src/config/home.ts";
import {
  awaitEmpty,
  listNames,
  readText,
  livingRemains as scanLiving,
  storedRemains as scanStored,
} from "../conformance/driver/scan.ts";
import { engineRemains } from "./engine-state.ts";
import { testHome } from "./home.ts";

/** A container's cgroups and shim go a moment after it. */
const GONE_MS = 20_000;

/** Ids of the sandboxes that a process owns: its launcher holds their owner files. */
export function sandboxesOf(pid: number, home: Home = testHome): string[] {
  return listNames(home.owners).filter((id) => {
    const text = readText(join(home.owners, id));
    const launcher = text === "" ? undefined : (JSON.parse(text) as { launcher?: { pid: number } }).launcher;
    return launcher !== undefined && parentOf(launcher.pid) === pid;
  });
}

/** What still runs or is mounted of these sandboxes, or is at the tests' engine. */
export function livingRemains(ids: readonly string[]): string[] {
  return [...scanLiving(ids), ...engineRemains(ids)];
}

/** Folders, sockets, images and owner files of these sandboxes. */
export function storedRemains(ids: readonly string[], home: Home = testHome): string[] {
  return scanStored(ids, home);
}

/** Waits until `list` is empty; names what is left after all. */
export async function expectSoonEmpty(list: () => readonly string[]): Promise<void> {
  expect(await awaitEmpty(list, GONE_MS)).toEqual([]);
}

/** The sandboxes are gone with everything, or soon. */
export async function expectGone(ids: readonly string[], home: Home = testHome): Promise<void> {
  expect(ids).not.toEqual([]);
  await expectSoonEmpty(() => [...livingRemains(ids), ...storedRemains(ids, home)]);
}

/** Nothing of the sandboxes lives soon after their owner died, and the next start removes what it stored. */
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
