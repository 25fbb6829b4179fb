import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect, type TestContext, test } from "vitest";

async function check(context: TestContext, files: Record<string, string>): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), "python-imports-"));
  context.onTestFinished(() => rm(folder, { recursive: true }));
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), text);
  }
  const run = spawnSync("/usr/bin/python3", ["scripts/check-python-imports.py", folder], { encoding: "utf8" });
  const problems = run.stderr.split("\n").filter((line) => line !== "");
  expect(run.status).toBe(problems.length > 0 ? 1 : 0);
  return problems.map((line) => line.replaceAll(folder, ""));
}

test("python imports - a circle that an import for types closes is refused", async (context) => {
  const files = { "a.py": "import b\n", "b.py": "if TYPE_CHECKING:\n    from a import A\n" };
  expect(await check(context, files)).toEqual([": a circle of files: a -> b -> a"]);
});

test("python imports - a circle that an import within a function closes is refused", async (context) => {
  const files = {
    "room/__init__.py": "",
    "room/a.py": "from .b import run\n",
    "room/b.py": "def run():\n    from room import a\n",
  };
  expect(await check(context, files)).toEqual([": a circle of files: room.a -> room.b -> room.a"]);
});

test("python imports - files that only share what they import are no circle", async (context) => {
  const files = { "a.py": "import c\n", "b.py": "import a, c\n", "c.py": "import os\n" };
  expect(await check(context, files)).toEqual([]);
});

test("python imports - a folder of more than 16 files is refused", async (context) => {
  const files = Object.fromEntries(Array.from({ length: 17 }, (_, index) => [`room/m${index}.py`, ""]));
  expect(await check(context, files)).toEqual(["/room: 17 files, more than 16"]);
});
