import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import type { App } from "../../src/app.ts";
import { WorkspaceFolder } from "../../src/fleet/workspaces/workspace-folder.ts";
import { describeDrivers } from "../support/drivers.ts";
import { openTestApp } from "../support/home.ts";

describeDrivers((driver) => {
  let app: App;
  let folder = "";
  const never = new AbortController().signal;

  beforeAll(async () => {
    app = await openTestApp(driver.config);
  });
  afterAll(async () => {
    await app[Symbol.asyncDispose]();
  });
  beforeEach(() => {
    folder = mkdtempSync("/var/tmp/paddock-folder-");
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
  });

  /** Runs shell commands on a copy of `folder`, one call each, and copies the changes back; returns what was withheld. */
  async function runOn(...commands: string[]): Promise<string[]> {
    const workspace = new WorkspaceFolder(app.fleet, folder);
    let withheld: readonly string[] = [];
    const tool_calls = commands.map((command) => ({ tool: "run_command", input: { command } }));
    const result = await app.executor.runTask(
      { node_type: "file", tool_calls },
      {
        afterOpen: async (lease) => void (await workspace.copyIn(lease, never)),
        beforeClose: async (lease, records) => {
          withheld = (await workspace.copyBack(lease, records, false, never)).withheld;
        },
      },
    );
    expect(result.status).toBe("completed");
    return [...new Set(withheld)].sort();
  }

  test("copy back - a folder whose mode changed does not bring what is withheld below it", async () => {
    mkdirSync(join(folder, "src"));
    writeFileSync(join(folder, "src/a.txt"), "one");
    const withheld = await runOn(
      "chmod 700 src; echo evil > src/Makefile; mkdir src/.git; echo evil > src/.git/config; echo two > src/a.txt",
    );
    expect(withheld).toEqual(["src/.git", "src/.git/config", "src/Makefile"]);
    expect(existsSync(join(folder, "src/Makefile"))).toBe(false);
    expect(existsSync(join(folder, "src/.git"))).toBe(false);
    expect(readFileSync(join(folder, "src/a.txt"), "utf8")).toBe("two\n");
  });

  test("copy back - a folder dressed up as a package tree does not bring what is withheld", async () => {
    mkdirSync(join(folder, "src"));
    writeFileSync(join(folder, "src/a.txt"), "one");
    const withheld = await runOn(
      "touch src/pyvenv.cfg; echo evil > src/conftest.py; mkdir -p node_modules/x/.vscode; echo evil > node_modules/x/.vscode/tasks.json; echo ok > node_modules/x/index.js",
    );
    expect(withheld).toEqual(["node_modules/x/.vscode", "node_modules/x/.vscode/tasks.json", "src/conftest.py"]);
    expect(existsSync(join(folder, "src/conftest.py"))).toBe(false);
    expect(existsSync(join(folder, "node_modules/x/.vscode"))).toBe(false);
    expect(readFileSync(join(folder, "node_modules/x/index.js"), "utf8")).toBe("ok\n");
  });

  test("copy back - a link that leaves the folder stays behind wherever it lies, and nothing else with it", async () => {
    const withheld = await runOn(
      "mkdir -p node_modules/x; ln -s /etc/passwd node_modules/x/p; echo ok > node_modules/x/i.js",
    );
    expect(withheld).toEqual(["node_modules/x/p"]);
    expect(readFileSync(join(folder, "node_modules/x/i.js"), "utf8")).toBe("ok\n");
  });

  test("copy back - a bare repository and other spellings of .git do not come back", async () => {
    const withheld = await runOn("mkdir -p r/objects r/refs .GIT; touch r/config r/HEAD .GIT/config 'git~1' '.git. '");
    expect(withheld).toEqual([".GIT/config", ".git. ", "git~1", "r/HEAD"]);
  });

  test("copy back - a folder made in place of a link is not written through the link", async () => {
    mkdirSync(join(folder, ".git"));
    writeFileSync(join(folder, ".git/config"), "[core]\n");
    symlinkSync(".git", join(folder, "link"));
    await runOn("rm link; mkdir link; echo evil > link/config").catch(() => undefined);
    expect(readFileSync(join(folder, ".git/config"), "utf8")).toBe("[core]\n");
  });

  test("copy back - a deleted folder takes nothing along that is withheld or came after the copy", async () => {
    mkdirSync(join(folder, "sub/.git"), { recursive: true });
    writeFileSync(join(folder, "sub/.git/config"), "[core]\n");
    writeFileSync(join(folder, "sub/a.txt"), "one");
    const withheld = await runOn("rm -r sub");
    expect(withheld).toEqual(["sub/.git"]);
    expect(existsSync(join(folder, "sub/a.txt"))).toBe(false);
    expect(readFileSync(join(folder, "sub/.git/config"), "utf8")).toBe("[core]\n");
  });
});
