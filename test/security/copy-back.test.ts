import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import type { App } from "../../src/app.ts";
import { makeOwnPlace } from "../../src/executor/lease-place.ts";
import { WorkspaceFolder } from "../../src/fleet/workspaces/workspace-folder.ts";
import { describeDrivers } from "../support/drivers.ts";
import { openTestApp } from "../support/home.ts";

describeDrivers((driver) => {
  /** Host and supervisor decide what comes back, and do it the same under every kernel. */
  const check = test.runIf(driver.isWhole);

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

  /**
   * Runs shell commands on a copy of `folder`, one call each, and copies the changes back; returns what was withheld.
   */
  const runOn = async (...commands: string[]): Promise<string[]> => await runAsking([], ...commands);

  async function runAsking(asked: readonly string[], ...commands: string[]): Promise<string[]> {
    const workspace = new WorkspaceFolder(app.fleet, folder);
    let withheld: readonly string[] = [];
    const tool_calls = commands.map((command) => ({ tool: "run_command", input: { command } }));
    const result = await app.executor.runTask(
      { node_type: "file", tool_calls },
      {
        place: makeOwnPlace(app.fleet, {
          afterOpen: async (lease) => void (await workspace.copyIn(lease, never)),
          beforeClose: async (lease, records) => {
            withheld = (await workspace.copyBack(lease, records, asked, never)).withheld;
          },
        }),
      },
    );
    expect(result.status).toBe("completed");
    return [...new Set(withheld)].sort();
  }

  check("copy back - a folder whose mode changed does not bring what is withheld below it", async () => {
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

  check(
    "copy back - a folder dressed up as a package tree comes back only by name, and a package tree too",
    async () => {
      mkdirSync(join(folder, "src"));
      writeFileSync(join(folder, "src/a.txt"), "one");
      const attack =
        "touch src/pyvenv.cfg; echo evil > src/conftest.py; mkdir -p node_modules/x/.vscode; echo evil > node_modules/x/.vscode/tasks.json; echo ok > node_modules/x/index.js";
      expect(await runOn(attack)).toEqual(["node_modules", "src"]);
      expect(readdirSync(folder)).toEqual(["src"]);
      expect(readdirSync(join(folder, "src"))).toEqual(["a.txt"]);
      expect(await runAsking(["node_modules"], attack)).toEqual(["src"]);
      expect(readFileSync(join(folder, "node_modules/x/index.js"), "utf8")).toBe("ok\n");
    },
  );

  check("copy back - a link comes back only by name, and one that leaves the folder not even so", async () => {
    const attack = "mkdir -p lib/x; ln -s /etc/passwd lib/x/p; ln -s i.js lib/x/j.js; echo ok > lib/x/i.js";
    expect(await runOn(attack)).toEqual(["lib/x/j.js", "lib/x/p"]);
    expect(readFileSync(join(folder, "lib/x/i.js"), "utf8")).toBe("ok\n");
    rmSync(join(folder, "lib"), { recursive: true });
    expect(await runAsking(["./lib/"], attack)).toEqual(["lib/x/p"]);
    expect(readlinkSync(join(folder, "lib/x/j.js"))).toBe("i.js");
  });

  check("copy back - an execute bit comes back only by name or where it was", async () => {
    writeFileSync(join(folder, "was.sh"), "#!/bin/sh\necho one\n", { mode: 0o755 });
    const attack = "echo '#!/bin/sh' | tee was.sh new.sh other.sh > plain.sh; chmod 755 new.sh other.sh";
    expect(await runOn(attack)).toEqual(["new.sh", "other.sh"]);
    expect(readdirSync(folder)).toEqual(["plain.sh", "was.sh"]);
    expect(readFileSync(join(folder, "was.sh"), "utf8")).toBe("#!/bin/sh\n");
    expect(await runAsking(["new.sh"], attack)).toEqual(["other.sh"]);
    expect(statSync(join(folder, "new.sh")).mode & 0o111).toBe(0o111);
  });

  check("copy back - a bare repository and other spellings of .git do not come back", async () => {
    const withheld = await runOn("mkdir -p r/objects r/refs .GIT; touch r/config r/HEAD .GIT/config 'git~1' '.git. '");
    expect(withheld).toEqual([".GIT/config", ".git. ", "git~1", "r/HEAD"]);
  });

  check("copy back - a folder made in place of a link is not written through the link", async () => {
    mkdirSync(join(folder, ".git"));
    writeFileSync(join(folder, ".git/config"), "[core]\n");
    symlinkSync(".git", join(folder, "link"));
    await runOn("rm link; mkdir link; echo evil > link/config").catch(() => undefined);
    expect(readFileSync(join(folder, ".git/config"), "utf8")).toBe("[core]\n");
  });

  check("copy back - a deleted folder takes nothing along that is withheld or came after the copy", async () => {
    mkdirSync(join(folder, "sub/.git"), { recursive: true });
    writeFileSync(join(folder, "sub/.git/config"), "[core]\n");
    writeFileSync(join(folder, "sub/a.txt"), "one");
    const withheld = await runOn("rm -r sub");
    expect(withheld).toEqual(["sub/.git"]);
    expect(existsSync(join(folder, "sub/a.txt"))).toBe(false);
    expect(readFileSync(join(folder, "sub/.git/config"), "utf8")).toBe("[core]\n");
  });

  /** What the user runs afterwards, on files that the task was not to touch. */
  const importUntouched = (): string =>
    spawnSync("/usr/bin/python3", ["-c", "import mod"], { cwd: folder, encoding: "utf8" }).stdout.trim();

  /** Byte code of `print("evil")` that Python takes for that of `mod.py`. */
  function forgeByteCode(): string {
    const program = `import importlib.util as u, os, marshal, struct
s = os.stat("mod.py")
code = marshal.dumps(compile("print('evil')", "mod.py", "exec"))
head = u.MAGIC_NUMBER + struct.pack("<III", 0, int(s.st_mtime), s.st_size)
print(u.cache_from_source("mod.py"), (head + code).hex())`;
    const made = spawnSync("/usr/bin/python3", ["-c", program], { cwd: folder, encoding: "utf8" });
    const [path = "", hex = ""] = made.stdout.trim().split(" ");
    const escaped = hex.replaceAll(/../g, String.raw`\x$&`);
    return `mkdir __pycache__; bash -c "printf '${escaped}'" > ${path}`;
  }

  check.each([
    ["byte code of its size and time", forgeByteCode],
    ["a package of its name", () => `mkdir mod; echo 'print("evil")' > mod/__init__.py`],
    ["a module of the standard library's name", () => `echo 'print("evil"); raise SystemExit' > json.py`],
    [
      "a program in place of one of its environment",
      () => "rm env/pyvenv.cfg; printf '#!/bin/sh\necho evil\n' > env/bin/tool",
    ],
  ])("copy back - an untouched module runs as it is after a task left %s", async (_, attack) => {
    writeFileSync(
      join(folder, "mod.py"),
      "import json, subprocess\nprint(subprocess.check_output(['env/bin/tool'], text=True))\n",
    );
    mkdirSync(join(folder, "env/bin"), { recursive: true });
    writeFileSync(join(folder, "env/pyvenv.cfg"), "home = /usr/bin\n");
    writeFileSync(join(folder, "env/bin/tool"), "#!/bin/sh\necho good\n", { mode: 0o755 });
    await runOn(attack());
    expect(importUntouched()).toBe("good");
    await runAsking(["."], attack());
    expect(importUntouched()).toContain("evil");
  });
});
