import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { takeSnapshot } from "../../src/agents/acts/content-copy.ts";
import type { App } from "../../src/app.ts";
import { FilesystemArtifacts } from "../../src/store/artifacts/filesystem.ts";
import { openTestApp } from "../support/home.ts";
import { bash, inAgent } from "./sandboxes.ts";

let app: App;

beforeAll(async () => {
  app = await openTestApp();
});

afterAll(async () => await app[Symbol.asyncDispose]());

const never = new AbortController().signal;

describe("publishing", () => {
  let folder: string;
  let artifacts: FilesystemArtifacts;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "paddock-published-"));
    artifacts = new FilesystemArtifacts(folder);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const listStored = async (prefix: string): Promise<number> =>
    (await artifacts.list({ prefix: `${prefix}/` })).artifacts.length;

  test("regular files of content/, as they are", async () => {
    await inAgent(app, async (lease) => {
      const { sandbox } = lease;
      await bash(
        lease,
        "mkdir -p content/a/b; echo one > content/index.html; head -c 3000000 /dev/urandom > content/a/b/big; : > content/.empty; echo no > outside",
      );
      const files = await takeSnapshot(sandbox.files, artifacts, "pub/1", never);
      expect(files.map(({ path, bytes }) => [path, bytes])).toEqual([
        [".empty", 0],
        ["a/b/big", 3_000_000],
        ["index.html", 4],
      ]);
      for (const { path, artifactKey, sha256, bytes } of files) {
        const chunks = await Array.fromAsync((await artifacts.get(artifactKey)).content);
        expect(Buffer.concat(chunks).equals(await sandbox.files.read(`content/${path}`, { maxBytes: bytes + 1 }))).toBe(
          true,
        );
        expect(sha256).toMatch(/^[0-9a-f]{64}$/);
      }
    });
  });

  test("a hostile folder: links, pipes, sockets and odd names are left out", async () => {
    await inAgent(app, async (lease) => {
      await bash(
        lease,
        [
          "mkdir -p content/ok/sub; cd content; echo secret > ../.env",
          "ln -s ../.env env; ln -s / root; ln -s ../.. up; ln -s loop loop; ln ../.env hard; mkfifo pipe",
          "python3 -c \"import socket; socket.socket(socket.AF_UNIX).bind('sock')\"",
          "echo x > $'new\\nline'; echo x > $'esc\\e[31m'; echo x > 'back\\slash'; echo y > ' spaced ok.txt'; echo z > ok/sub/ä.txt",
          "touch closed; chmod 0 closed; mkdir -p $(printf 'd/%.0s' $(seq 40)) && echo deep > $(printf 'd/%.0s' $(seq 40))f",
        ].join("\n"),
      );
      const files = await takeSnapshot(lease.sandbox.files, artifacts, "pub/2", never);
      expect(files.map(({ path }) => path)).toEqual([" spaced ok.txt", "hard", "ok/sub/ä.txt"]);
    });
  });

  test.each<[string, string, RegExp]>([
    ["too many files", "for i in $(seq 2001); do : > content/$i; done", /2001 files; at most 2000/],
    [
      "too many entries",
      `cd content; python3 -c "import os; open('x', 'w'); [os.link('x', str(i)) for i in range(20000)]"`,
      /more than 20000 entries/,
    ],
    ["too many bytes", "truncate -s 200M content/a; truncate -s 60M content/b", /more than 256 MiB/],
  ])("%s are refused, and nothing is stored", async (name, script, message) => {
    await inAgent(app, async (lease) => {
      await bash(lease, `mkdir content; ${script}`);
      const prefix = `pub/${name.replaceAll(" ", "-")}`;
      const taking = takeSnapshot(lease.sandbox.files, artifacts, prefix, never);
      await expect(taking).rejects.toMatchObject({ code: "too_large", message: expect.stringMatching(message) });
      expect(await listStored(prefix)).toBe(0);
    });
  });

  test("what was stored goes again when the rest cannot be", async () => {
    await inAgent(app, async (lease) => {
      await bash(lease, "mkdir content; for i in $(seq 50); do echo $i > content/$i; done");
      const controller = new AbortController();
      const reason = new Error("enough");
      const { files } = lease.sandbox;
      let reads = 0;
      const readTo: typeof files.readTo = async (...args) => {
        if (++reads === 20) controller.abort(reason);
        return await files.readTo(...args);
      };
      const counted = new Proxy(files, {
        get: (target, name) => (name === "readTo" ? readTo : (Reflect.get(target, name) as () => void).bind(target)),
      });
      await expect(takeSnapshot(counted, artifacts, "pub/4", controller.signal)).rejects.toBe(reason);
      expect(reads).toBeLessThan(50);
      expect(await listStored("pub/4")).toBe(0);
    });
  });

  test("without content there is nothing to publish, and a link in its place is none", async () => {
    await inAgent(app, async (lease) => {
      expect(await takeSnapshot(lease.sandbox.files, artifacts, "pub/5", never)).toEqual([]);
      await bash(lease, "mkdir other; echo x > other/x; ln -s other content");
      expect(await takeSnapshot(lease.sandbox.files, artifacts, "pub/5", never)).toEqual([]);
    });
  });
});
