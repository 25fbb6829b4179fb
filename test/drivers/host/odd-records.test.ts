import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Home } from "../../../src/config/home.ts";
import type { Holder } from "../../../src/drivers/host/holder.ts";
import { makeSandboxId } from "../../../src/model/ids.ts";
import { lacks } from "../../support/needs.ts";
import { makeHome, removeHome } from "../bubblewrap/harness.ts";
import { openHolder } from "./holding.ts";

const CONTAINER_ID = "a".repeat(64);

const makeRecord = (id: string, changes: object): string =>
  JSON.stringify({
    id,
    driver: "docker",
    uid: null,
    groups: [],
    runDir: null,
    workspace: null,
    processes: [],
    ...changes,
  });

const makeContainer = (id: string, changes: object): string => {
  const fixed = { name: `paddock-${id}`, socket: null, generation: 1, held: {}, ended_lock: null, shares_lock: false };
  return makeRecord(id, { container: { ...fixed, adoption: null, id: CONTAINER_ID, started_at: "x", ...changes } });
};

type Plant = (path: string, id: string) => void;
const plantText =
  (make: (id: string) => string): Plant =>
  (path, id) =>
    writeFileSync(path, make(id));

/** Owner files that nobody of ours wrote, or that a fault damaged. */
const UNREADABLE: readonly (readonly [string, Plant])[] = [
  ["a link", (path) => symlinkSync("/etc/hostname", path)],
  ["a folder", (path) => mkdirSync(path)],
  ["a FIFO", (path) => execFileSync("mkfifo", [path])],
  ["an infinite pid", plantText((id) => makeRecord(id, {}).replace('"processes":[]', '"processes":[[Infinity,1]]'))],
  ["an adoption that is none", plantText((id) => makeContainer(id, { adoption: "yes", orphaned_at: 1 }))],
  [
    "a grace that is no number",
    plantText((id) => makeContainer(id, { adoption: { graceMs: "soon" }, orphaned_at: 1 })),
  ],
  [
    "a moment that is no number",
    plantText((id) => makeContainer(id, { adoption: { graceMs: 1 }, orphaned_at: "now" })),
  ],
  ["cgroups of no container", plantText((id) => makeContainer(id, { id: null, cgroups: ["/sys/fs/cgroup"] }))],
];

describe.skipIf(lacks(process.getuid?.() === 0, "root"))("a data folder with things in it that are not ours", () => {
  let home: Home;
  let holder: Holder;

  beforeAll(async () => {
    home = makeHome();
    holder = await openHolder(home);
  });
  afterAll(async () => {
    await holder[Symbol.asyncDispose]();
    removeHome(home);
  });

  test.each(UNREADABLE)("%s as owner file is reported, left alone and not adopted", async (_name, plant) => {
    const id = makeSandboxId();
    const path = join(home.owners, id);
    plant(path, id);
    const { reaped, failed } = await holder.reap();
    expect({ reaped, failed }).toEqual({
      reaped: [],
      failed: [{ id, detail: expect.stringContaining("cannot be read") }],
    });
    await expect(holder.adopt(id)).rejects.toMatchObject({ code: "adoption_refused" });
    rmSync(path, { recursive: true });
  });

  test("a record nested too deep to read is one that a power cut broke", async () => {
    const id = makeSandboxId();
    writeFileSync(join(home.owners, id), "[".repeat(200_000));
    expect(await holder.reap()).toEqual({ reaped: [id], failed: [] });
  });

  test("after a power cut broke a record, the whole run folder goes: the socket's folder and the users' too", async () => {
    const id = makeSandboxId();
    for (const path of ["socket/host.sock", "users/passwd", "maker.json"]) {
      const file = join(home.run, id, path);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, "");
    }
    writeFileSync(join(home.owners, id), "");
    expect(await holder.reap()).toEqual({ reaped: [id], failed: [] });
    expect(existsSync(join(home.run, id))).toBe(false);
  }, 30_000);

  test("drafts, uid locks and ended workspaces that are no files hinder nothing", async () => {
    mkdirSync(join(home.owners, ".new-x"));
    mkdirSync(join(home.uids, "200005.lock"), { recursive: true });
    writeFileSync(join(home.uids, "200006.lock"), Buffer.from([0xff, 0xfe]));
    const folder = join(home.workspaces, makeSandboxId());
    mkdirSync(folder);
    execFileSync("mkfifo", [join(folder, "owner.json")]);
    expect(await holder.reap()).toEqual({ reaped: [], failed: [] });
  });

  test("a socket's folder that became a link is not emptied", async () => {
    const id = makeSandboxId();
    const precious = join(home.root, "precious");
    mkdirSync(precious);
    writeFileSync(join(precious, "file"), "");
    symlinkSync(precious, join(home.run, id));
    writeFileSync(join(home.owners, id), makeRecord(id, { runDir: join(home.run, id) }));
    const { failed } = await holder.reap();
    expect(failed).toMatchObject([{ id }]);
    expect(existsSync(join(precious, "file"))).toBe(true);
  }, 30_000);
});
