import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { App } from "../../src/app.ts";
import { makeOwnPlace } from "../../src/executor/lease-place.ts";
import { WorkspaceFolder } from "../../src/fleet/workspaces/workspace-folder.ts";
import type { TaskResult } from "../../src/model/result.ts";
import { openTestApp } from "../support/home.ts";
import { expectCleanHost, listLeftovers } from "../support/host-state.ts";
import { lacks } from "../support/needs.ts";

let app: App;
let folder = "";
let before: string[];
const never = new AbortController().signal;

beforeAll(async () => {
  app = await openTestApp();
  await app.fleet.start();
  before = listLeftovers();
});
afterAll(async () => {
  await app[Symbol.asyncDispose]();
  await expectCleanHost(before);
});
beforeEach(() => {
  folder = mkdtempSync("/var/tmp/paddock-folder-");
});

async function runOn(
  command: string,
  asked: readonly string[] = [],
): Promise<{ result: TaskResult; withheld: readonly string[] }> {
  const workspace = new WorkspaceFolder(app.fleet, folder);
  let withheld: readonly string[] = [];
  const result = await app.executor.runTask(
    { node_type: "file", tool_calls: [{ tool: "run_command", input: { command } }] },
    {
      place: makeOwnPlace(app.fleet, {
        afterOpen: async (lease) => void (await workspace.copyIn(lease, never)),
        beforeClose: async (lease, records) => {
          withheld = (await workspace.copyBack(lease, records, asked, never)).withheld;
        },
      }),
    },
  );
  return { result, withheld };
}

test("workspace folder - a task sees a copy, and only its changes come back under the folder's owner", async () => {
  writeFileSync(join(folder, "in.txt"), "one\n");
  writeFileSync(join(folder, "gone.txt"), "bye");
  mkdirSync(join(folder, "sub"));
  const { result } = await runOn("cat in.txt > sub/out.txt && echo two >> sub/out.txt && rm gone.txt");
  expect(result.status).toBe("completed");
  expect(result.tool_calls[0]?.files_created.map((file) => file.path)).toEqual(["sub/out.txt"]);
  expect(readFileSync(join(folder, "sub/out.txt"), "utf8")).toBe("one\ntwo\n");
  expect(existsSync(join(folder, "gone.txt"))).toBe(false);
  expect(statSync(join(folder, "sub/out.txt")).uid).toBe(statSync(folder).uid);
  rmSync(folder, { recursive: true });
});

test.skipIf(lacks(process.getuid?.() === 0, "root"))(
  "workspace folder - a private folder of another user works and stays private",
  async () => {
    chownSync(folder, 65_534, 65_534);
    chmodSync(folder, 0o700);
    const { result } = await runOn("echo x > made.txt");
    expect(result.status).toBe("completed");
    expect(statSync(join(folder, "made.txt")).uid).toBe(65_534);
    rmSync(folder, { recursive: true });
  },
);

test("workspace folder - changes that tools would execute are listed and withheld unless allowed", async () => {
  mkdirSync(join(folder, ".git/hooks"), { recursive: true });
  writeFileSync(join(folder, ".git/config"), "[core]\n");
  const attack = "echo '#!/bin/sh' > .envrc; printf evil > Makefile; echo ok > fine.txt";
  const { withheld } = await runOn(attack);
  expect([...withheld].sort()).toEqual([".envrc", "Makefile"]);
  expect(existsSync(join(folder, ".envrc"))).toBe(false);
  expect(readFileSync(join(folder, "fine.txt"), "utf8")).toBe("ok\n");
  expect((await runOn(attack, [".envrc", "Makefile"])).withheld).toEqual([]);
  expect(existsSync(join(folder, ".envrc"))).toBe(true);
  rmSync(folder, { recursive: true });
});

test("workspace folder - a change inside .git is withheld although the tree is one entry", async () => {
  mkdirSync(join(folder, ".git/hooks"), { recursive: true });
  writeFileSync(join(folder, ".git/config"), "[core]\n");
  const { withheld } = await runOn("echo evil > .git/hooks/post-checkout");
  expect(withheld).toEqual([".git"]);
  expect(existsSync(join(folder, ".git/hooks/post-checkout"))).toBe(false);
  rmSync(folder, { recursive: true });
});

test("workspace folder - a link planted by the guest is copied as a link at most and never written through", async () => {
  const outside = mkdtempSync("/var/tmp/paddock-outside-");
  symlinkSync(outside, join(folder, "out"));
  const { result } = await runOn("ln -s /etc/passwd stolen; ln -s ../../../../etc up; echo x > safe.txt");
  expect(result.tool_calls[0]?.verdict).toBe("ok");
  expect(existsSync(join(outside, "safe.txt"))).toBe(false);
  if (existsSync(join(folder, "stolen"))) expect(statSync(join(folder, "stolen")).isSymbolicLink()).toBe(true);
  rmSync(folder, { recursive: true });
  rmSync(outside, { recursive: true });
});
