import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import promises from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createApp } from "../../../src/app.ts";
import { installProgram, sweepOldCopies } from "../../../src/drivers/host/install.ts";
import { DEFAULT_LIMITS } from "../../../src/model/limits.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "paddock-install-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const age = (path: string, days: number): void => {
  const then = new Date(Date.now() - days * 86_400_000);
  utimesSync(path, then, then);
};

test("install - a copy that no start chose for a month goes, a folder of users at once; a younger copy and everything else stays", async () => {
  for (const [name, days] of [
    ["node-1", 31],
    ["supervisor-a", 29],
    ["launcher-b.123.draft", 40],
    ["users-200000-c", 0],
    ["notes", 99],
  ] as const) {
    mkdirSync(join(folder, name));
    age(join(folder, name), days);
  }
  await sweepOldCopies(folder);
  expect(readdirSync(folder).sort()).toEqual(["notes", "supervisor-a"]);
});

test("install - choosing a copy again makes it young", async () => {
  const source = join(folder, "source");
  mkdirSync(source);
  writeFileSync(join(source, "main.py"), "print(1)\n");
  const bin = join(folder, "bin");
  mkdirSync(bin);
  const copy = await installProgram(bin, "launcher", source, "/usr/bin/python3");
  age(copy, 40);
  expect(await installProgram(bin, "launcher", source, "/usr/bin/python3")).toBe(copy);
  expect(Date.now() - statSync(copy).mtimeMs).toBeLessThan(60_000);
});

test("install - what a service uses that is up for months stays when another version starts", async () => {
  const root = mkdtempSync("/var/tmp/paddock-install-");
  chmodSync(root, 0o711);
  const bin = join(root, "bin");
  const lease = async (): Promise<void> => {
    const request = { nodeType: "file", limits: DEFAULT_LIMITS, network: "none", env: {}, bare: true } as const;
    const signal = AbortSignal.timeout(20_000);
    await using made = await service.fleet.lease({ ...request, signal, onProgress: () => undefined });
    expect(made.sandbox.end).toBeUndefined();
  };
  await using service = await createApp({
    env: { ...process.env, PADDOCK_HOME: root },
    config: { driver: "bubblewrap" },
  });
  try {
    await lease();
    const used = readdirSync(bin);
    for (const name of used) age(join(bin, name), 31);
    await service.fleet.reap();
    const source = join(folder, "source");
    mkdirSync(source);
    writeFileSync(join(source, "main.py"), "print(2)\n");
    const other = await installProgram(bin, "supervisor", source, "/usr/bin/python3");
    await sweepOldCopies(bin);
    expect(readdirSync(bin).sort()).toEqual([...used, basename(other)].sort());
    await lease();
  } finally {
    await service[Symbol.asyncDispose]();
    rmSync(root, { recursive: true, force: true });
  }
});

test("install - a copy that is chosen while another start removes it is there", async () => {
  const source = join(folder, "source");
  mkdirSync(source);
  writeFileSync(join(source, "main.py"), "print(3)\n");
  const bin = join(folder, "bin");
  mkdirSync(bin);
  const choose = (): Promise<string> => installProgram(bin, "launcher", source, "/usr/bin/python3");
  const copy = await choose();
  age(copy, 40);
  const { rename, rm } = promises;
  let chosen: Promise<string> | undefined;
  const chooseBefore =
    <Given extends readonly unknown[]>(act: (...given: Given) => Promise<void>) =>
    async (...given: Given): Promise<void> => {
      if (given[0] === copy) chosen ??= choose();
      await chosen;
      await act(...given);
    };
  Object.assign(promises, { rename: chooseBefore(rename), rm: chooseBefore(rm) });
  syncBuiltinESMExports();
  try {
    await sweepOldCopies(bin);
  } finally {
    Object.assign(promises, { rename, rm });
    syncBuiltinESMExports();
  }
  expect([await chosen, readdirSync(bin), readdirSync(copy)]).toEqual([
    copy,
    [basename(copy)],
    expect.arrayContaining(["main.py"]),
  ]);
});
