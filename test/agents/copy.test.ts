import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { copyWorkspace } from "../../src/agents/sandbox/copy-volume.ts";
import type { App } from "../../src/app.ts";
import { openTestApp } from "../support/home.ts";
import { bash, inAgent, leaseAgent } from "./sandboxes.ts";

let app: App;

beforeAll(async () => {
  app = await openTestApp();
});

afterAll(async () => await app[Symbol.asyncDispose]());

describe("copy", () => {
  const FILL = [
    "mkdir -p code/.venv/bin content/deep data notes logs",
    "echo run > code/run.sh; chmod 755 code/run.sh; ln -s /usr/bin/python3 code/.venv/bin/python",
    "echo SECRET=1 > .env; echo readme > README.md; echo page > content/deep/index.html; echo 1 > data/d.csv",
    "echo n > notes/n; echo l > logs/l; echo p > plan.md; mkfifo content/pipe; touch code/suid; chmod 4755 code/suid",
  ].join("\n");

  test.each([
    [{ code: true, env: true }, [".env", "README.md", "code", "content", "data"]],
    [{ code: false, env: false }, ["README.md", "content", "data"]],
  ])("%j", async (choice, expected) => {
    await inAgent(app, async (from) => {
      await using to = await leaseAgent(app);
      await bash(from, FILL);
      const { entries } = await copyWorkspace(from.sandbox.files, to.sandbox.files, choice);
      expect(entries).toBeGreaterThan(4);
      expect((await bash(to, "ls -A")).trim().split("\n")).toEqual(expected);
      expect(await bash(to, "cat content/deep/index.html; ls content")).toBe("page\ndeep\n");
      if (choice.code)
        expect(await bash(to, "stat -c %a code/run.sh code/suid; readlink code/.venv/bin/python")).toBe(
          "755\n755\n/usr/bin/python3\n",
        );
    });
  });

  test("what is something else than it should be stays behind; nothing to copy is fine", async () => {
    await inAgent(app, async (from) => {
      await using to = await leaseAgent(app);
      await bash(from, "ln -s / content; mkfifo .env; mkdir README.md; echo x > code");
      expect(await copyWorkspace(from.sandbox.files, to.sandbox.files, { code: true, env: true })).toEqual({
        entries: 0,
        bytes: 0,
      });
    });
  });

  test("a target that is full refuses, and both sandboxes go on", async () => {
    await inAgent(app, async (from) => {
      await using to = await leaseAgent(app);
      await bash(from, "mkdir data; head -c 40000000 /dev/zero > data/a");
      await bash(to, "head -c 30000000 /dev/zero > b");
      const copying = copyWorkspace(from.sandbox.files, to.sandbox.files, { code: true, env: true });
      await expect(copying).rejects.toMatchObject({ context: { reason: "no_space" } });
      expect(await bash(from, "echo on")).toBe("on\n");
      expect(await bash(to, "rm -rf data; echo on")).toBe("on\n");
    });
  });
});
