import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createApp } from "../../src/app.ts";
import { identifyProcess } from "../../src/lib/process-identity.ts";
import { makeSandboxId } from "../../src/model/ids.ts";

let root = "";

beforeEach(() => {
  root = mkdtempSync("/var/tmp/paddock-sweep-");
  chmodSync(root, 0o711);
  for (const room of ["owners", "run"]) mkdirSync(join(root, room), { mode: 0o711 });
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const open = (): ReturnType<typeof createApp> =>
  createApp({ env: { ...process.env, PADDOCK_HOME: root }, config: { driver: "bubblewrap" } });

test("sweep - doctor names what could not be removed, and what to do", async () => {
  const id = makeSandboxId();
  writeFileSync(join(root, "owners", id), JSON.stringify({ id: "another" }), { mode: 0o600 });
  await using app = await open();
  const finding = (await app.fleet.probe()).find(({ name }) => name === "sweep");
  expect(finding).toMatchObject({ status: "warning", hint: expect.stringContaining("owners/") as string });
  expect(finding?.detail).toContain(id);
  rmSync(join(root, "owners", id));
  expect((await app.fleet.probe()).at(-1)).toMatchObject({ name: "sweep", status: "ok" });
});

test("sweep - a run folder in the making goes with its maker, and not before", async () => {
  const self = identifyProcess(process.pid);
  const draft = (startTicks = self?.startTicks): string =>
    `.new-${process.pid}-${startTicks}-${self?.bootId}-${makeSandboxId()}`;
  const [mine, dead, marked, unmarked] = [draft(), draft("1"), makeSandboxId(), makeSandboxId()];
  for (const name of [mine, dead, marked, unmarked]) mkdirSync(join(root, "run", name));
  writeFileSync(join(root, "run", marked, "maker.json"), JSON.stringify({ ...self, startTicks: "1" }));
  await using app = await open();
  await app.fleet.start();
  expect(readdirSync(join(root, "run")).toSorted()).toEqual([mine, unmarked].toSorted());
});
