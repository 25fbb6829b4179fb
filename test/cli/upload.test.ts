import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import { ERROR_CODES } from "../../src/errors/codes.ts";
import type { TaskResult } from "../../src/model/result.ts";
import { FilesystemArtifacts } from "../../src/store/artifacts/filesystem.ts";
import { type CliResult, runCli } from "../support/cli.ts";
import { testEnv, testHome } from "../support/home.ts";

const store = new FilesystemArtifacts(testHome.artifacts);
const prefix = `test-upload-${process.pid}`;
afterAll(async () => {
  for (const { key } of (await store.list({ prefix: `${prefix}/` })).artifacts) await store.remove(key);
});

const upload = async (args: readonly string[], env = testEnv()): Promise<CliResult> =>
  await runCli(["run", "--bare", ...args], { env });

const CODE = "open('made.txt', 'w').write('made'); print('shown')";

test("cli run --upload - keys and URLs are shown, and appear in --json", async () => {
  const shown = await upload(["--upload", `${prefix}/one`, "-c", CODE]);
  expect([shown.code, shown.stdout]).toEqual([0, "shown\n"]);
  expect(shown.stderr).toMatch(new RegExp(`^stored 3 artifacts below ${prefix}/one:$`, "m"));
  expect(shown.stderr).toMatch(new RegExp(`^ {2}${prefix}/one/files/made.txt .*file://`, "m"));
  const { code, stdout } = await upload(["--upload", `${prefix}/two`, "--json", "-c", CODE]);
  const { artifacts, tool_calls } = JSON.parse(stdout) as TaskResult;
  expect(code).toBe(0);
  expect(artifacts?.stored.map(({ kind }) => kind)).toEqual(["file", "report", "result"]);
  const [file] = artifacts?.stored ?? [];
  expect(file?.sha256).toBe(tool_calls[0]?.files_created[0]?.sha256);
  expect(readFileSync(fileURLToPath(file?.url ?? ""), "utf8")).toBe("made");
});

test("cli run --upload - without a prefix the task's id is one, and a failed task is stored as well", async () => {
  const { code, stdout } = await upload(["--json", "-c", "open('f', 'w').write('x'); raise SystemExit(3)", "--upload"]);
  const { artifacts, task_id } = JSON.parse(stdout) as TaskResult;
  expect([code, artifacts?.prefix]).toEqual([3, `tasks/${task_id}`]);
  expect(artifacts?.stored).toHaveLength(3);
  for (const { key } of artifacts?.stored ?? []) await store.remove(key);
});

test("cli run --upload - a file right after it is what is run", async () => {
  const folder = mkdtempSync(join(tmpdir(), "paddock-upload-"));
  const file = join(folder, "made.py");
  writeFileSync(file, CODE);
  const { code, stdout } = await upload(["--json", "--upload", file]);
  const { artifacts, task_id } = JSON.parse(stdout) as TaskResult;
  expect([code, artifacts?.prefix, artifacts?.failed]).toEqual([0, `tasks/${task_id}`, []]);
  expect(artifacts?.stored).toHaveLength(3);
  for (const { key } of artifacts?.stored ?? []) await store.remove(key);
  rmSync(folder, { recursive: true });
});

test("cli run --upload - a store that fails keeps the result, and is the exit code of a task that did not", async () => {
  // Of its own: other tests share the usual one. Sandboxes have to be able to walk to it.
  const home = mkdtempSync("/var/tmp/paddock-upload-");
  chmodSync(home, 0o711);
  const s3 = {
    bucket: "results",
    endpoint: "http://127.0.0.1:1",
    attempts: 1,
    access_key_id: "A",
    secret_access_key: "canary-secret",
  };
  writeFileSync(join(home, "config.json"), JSON.stringify({ artifacts: { store: "s3", s3 } }), { mode: 0o600 });
  try {
    const down = await upload(["--upload", prefix, "-c", CODE], { ...testEnv(), PADDOCK_HOME: home });
    expect([down.code, down.stdout]).toEqual([ERROR_CODES.artifact_failed.exitCode, "shown\n"]);
    expect(down.stderr).toMatch(/not stored .*made\.txt: artifact_failed: .*ECONNREFUSED/);
    expect(down.stderr).not.toContain("canary-secret");
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
});

test("cli run --upload - works with --keep as well", async () => {
  const { code, stdout } = await upload(["--keep", "--ttl", "1m", "--upload", `${prefix}/kept`, "--json", "-c", CODE]);
  const { artifacts, kept_sandbox_id: id } = JSON.parse(stdout) as TaskResult & { kept_sandbox_id: string };
  await runCli(["kill", id]);
  expect([code, artifacts?.prefix, artifacts?.stored.length]).toEqual([0, `${prefix}/kept`, 3]);
});
