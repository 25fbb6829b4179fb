import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { inspect } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { App } from "../../src/app.ts";
import type { ArtifactsConfig, S3Config } from "../../src/config/artifacts.ts";
import { makeLeasePlace } from "../../src/executor/lease-place.ts";
import { watchEvents } from "../../src/executor/sinks/task-sink.ts";
import type { Lease } from "../../src/fleet/fleet.ts";
import type { TaskResult } from "../../src/model/result.ts";
import { TaskInput } from "../../src/model/task.ts";
import { S3Artifacts } from "../../src/store/artifacts/s3.ts";
import { openTestApp, testHome } from "../support/home.ts";
import { lacks } from "../support/needs.ts";
import { hasS3Server, makeBucket, startS3 } from "../support/s3.ts";

const HOST = "s3.paddock.test";
const sha256Of = (bytes: string | Buffer): string => createHash("sha256").update(bytes).digest("hex");

describe.skipIf(lacks(hasS3Server, "an S3-protocol server (scripts/setup.sh --test)"))("a real server", () => {
  let app: App;
  let config: S3Config;
  let store: S3Artifacts;
  let network = "";

  beforeAll(async () => {
    const server = startS3();
    config = await makeBucket(server, { sandboxEndpoint: `http://${HOST}:${server.port}` });
    network = `${HOST}:${server.port}`;
    const artifacts: ArtifactsConfig = {
      store: "s3",
      keep: "asked",
      s3: config,
      grants: [
        { bucket: config.bucket, prefix: "data/", access: "get" },
        { bucket: config.bucket, prefix: "out/", access: "both" },
      ],
    };
    store = new S3Artifacts(config);
    app = await openTestApp({
      artifacts,
      trustedUpstreams: [{ name: HOST, port: server.port, address: "127.0.0.1" }],
    });
  });

  afterAll(async () => {
    await app[Symbol.asyncDispose]();
    await store[Symbol.asyncDispose]();
  });

  type Options = Parameters<App["executor"]["runTask"]>[1];
  async function run(calls: readonly object[], facts: object = {}, options: Options = {}): Promise<TaskResult> {
    const task = TaskInput.parse({ bare: true, node_type: "web", network, tool_calls: calls, ...facts });
    return await app.executor.runTask(task, options);
  }

  const call = (tool: string, input: object): object => ({ tool, input });
  const bash = (command: string): object => call("run_command", { command });

  test.each(["web", "python", "javascript"])(
    "s3 tools - a %s node gets an object, works on it and puts the outcome",
    async (node_type) => {
      await store.put("data/in put.csv", Buffer.from("a,b\n1,2\n"));
      const key = `out/${node_type} ü.csv`;
      const result = await run(
        [
          call("s3_get", { key: "data/in put.csv" }),
          bash("tr , ';' <in_put.csv >result.csv"),
          call("s3_put", { path: "result.csv", bucket: config.bucket, key }),
        ],
        { node_type },
      );
      expect(result.error).toBeUndefined();
      expect(result.values[0]?.value).toMatchObject({
        bytes: 8,
        sha256: sha256Of("a,b\n1,2\n"),
        key: "data/in put.csv",
      });
      expect(result.values[2]?.value).toEqual({
        path: "result.csv",
        bucket: config.bucket,
        key,
        bytes: 8,
        sha256: sha256Of("a;b\n1;2\n"),
      });
      const [got, , put] = result.tool_calls;
      expect(got).toMatchObject({ operation: "s3_get", category: "network", command: ["s3_get", "data/in put.csv"] });
      expect(got?.files_created.map(({ path }) => path)).toEqual(["in_put.csv"]);
      expect(put?.command).toEqual(["s3_put", "result.csv", `s3://${config.bucket}/${key}`]);
      expect(put?.egress).toMatchObject([{ host: HOST, verdict: "allowed" }]);
      const { content } = await store.get(key);
      const chunks: Buffer[] = [];
      for await (const chunk of content) chunks.push(chunk);
      expect(Buffer.concat(chunks).toString()).toBe("a;b\n1;2\n");
    },
  );

  test("s3 tools - 64 MiB go out and come back, an empty object comes", async () => {
    await store.put("out/empty", Buffer.alloc(0));
    const result = await run([
      bash("head -c 67108864 /dev/urandom >large"),
      call("s3_put", { path: "large", key: "out/large" }),
      bash("sha256sum large >sum; mv large before"),
      call("s3_get", { key: "out/large", path: "large" }),
      call("s3_get", { key: "out/empty", path: "again" }),
      bash("sha256sum -c sum && test ! -s again"),
    ]);
    expect(result.error).toBeUndefined();
    expect(result.status).toBe("completed");
    await store.remove("out/large");
  });

  test("s3 tools - an empty file is not put, as its URL could copy other objects", async () => {
    const { tool_calls } = await run([bash(": >empty"), call("s3_put", { path: "empty", key: "out/none" })]);
    expect(tool_calls[1]).toMatchObject({
      verdict: "nonzero",
      stderr: { text: expect.stringContaining("unsupported: an empty object") },
    });
    await expect(store.head("out/none")).rejects.toMatchObject({ code: "not_found" });
  });

  test("s3 tools - a host that the policy does not allow is denied, with the usual hint", async () => {
    await store.put("data/denied", Buffer.from("x"));
    for (const input of [call("s3_get", { key: "data/denied" }), call("s3_put", { path: "f", key: "out/denied" })]) {
      const { tool_calls } = await run([bash("head -c 8388608 /dev/zero >f"), input], { network: "none" });
      expect(tool_calls[1]).toMatchObject({
        verdict: "denied",
        error: { code: "denied", hint: expect.stringContaining(`Allow it with --network ${HOST}; for an agent`) },
        egress: [{ host: HOST, verdict: "denied" }],
      });
    }
  });

  test("s3 tools - what the operator did not grant is denied before anything leaves", async () => {
    await store.put("private/one", Buffer.from("x"));
    for (const input of [
      call("s3_get", { key: "private/one" }),
      call("s3_get", { bucket: "other-bucket", key: "data/one" }),
      call("s3_put", { path: "f", key: "data/one" }),
    ]) {
      const { tool_calls } = await run([bash("echo x >f"), input]);
      expect(tool_calls[1]).toMatchObject({
        verdict: "denied",
        egress: [],
        error: {
          code: "denied",
          message: expect.stringContaining("is not granted"),
          hint: expect.stringContaining("artifacts.grants"),
        },
      });
    }
  });

  test("s3 tools - failures name their cause: a missing object, a wrong sha256, too many bytes, a missing file", async () => {
    await store.put("data/small", Buffer.from("12345"));
    const cases = [
      [call("s3_get", { key: "data/none" }), 22, /404 .*\(NoSuchKey\)/],
      [call("s3_get", { key: "data/small", sha256: "0".repeat(64) }), 65, /sha256 is/],
      [call("s3_get", { key: "data/small", max_bytes: 4 }), 63, /limit is 4/],
      [call("s3_put", { path: "none", key: "out/none" }), 26, /none: No such file/],
      [call("s3_put", { path: "/dev/zero", key: "out/none" }), 26, /not a regular file/],
    ] as const;
    for (const [input, code, message] of cases) {
      const [record] = (await run([input])).tool_calls;
      expect([record?.verdict, record?.return_code]).toEqual(["nonzero", code]);
      expect(record?.stderr.text).toMatch(message);
      expect(record?.attempts).toHaveLength(1);
    }
  });

  test("s3 tools - without configured S3 they say so", async () => {
    await using plain = await openTestApp();
    const task = TaskInput.parse({ bare: true, node_type: "web", tool_calls: [call("s3_get", { key: "k" })] });
    const [record] = (await plain.executor.runTask(task)).tool_calls;
    expect(record).toMatchObject({ verdict: "nonzero", return_code: 1 });
    expect(record?.stderr.text).toMatch(/^unsupported: no S3 storage is configured/);
  });

  /** Everything a guest can read of itself and of what it can see of others, while it looks again and again. */
  const WATCHER = `
import glob, os, sys, time
seen = {}
end = time.monotonic() + 4
while time.monotonic() < end:
    for name in ("cmdline", "environ", "maps"):
        for path in glob.glob(f"/proc/[0-9]*/{name}"):
            try: seen[path] = open(path, "rb").read(200000)
            except OSError: pass
    if os.path.exists("/workspace/got"): break
for root in ("/workspace", "/tmp", "/run", "/opt/paddock", "/etc", "/dev/shm", "/var"):
    for folder, _, files in os.walk(root):
        for name in files:
            try: seen[folder + "/" + name] = open(os.path.join(folder, name), "rb").read(2000000)
            except OSError: pass
seen["env"] = repr(dict(os.environ)).encode()
needles = [n[::-1].encode() for n in sys.argv[1].split(",")]
found = [path for path, text in seen.items() for needle in needles if needle in text]
print(len(seen), "looked at;", "found:", found)
`;

  test("s3 tools - no secret enters a sandbox, and no signature a record or journal", async () => {
    const canary = "canary-environment-secret-7f3a";
    process.env["AWS_SECRET_ACCESS_KEY"] = canary;
    try {
      await store.put("data/watched", Buffer.from("watched"));
      const secret = config.credentials?.secretAccessKey ?? "";
      // Written backwards, so that the search does not find itself.
      const needles = [secret, canary, "to-be-found"].map((text) => Buffer.from(text).reverse().toString()).join(",");
      const events: unknown[] = [];
      const result = await run(
        [
          call("write_file", { path: "watch.py", content: WATCHER }),
          call("write_file", { path: "control", content: "to-be-found" }),
          call("run_command", { command: ["python3", "watch.py", needles], background: true }),
          call("s3_get", { key: "data/watched", path: "got" }),
          call("run_command", { command: ["python3", "watch.py", needles] }),
          call("s3_put", { path: "got", key: "out/watched" }),
          { ...call("s3_get", { key: "data/missing" }), continue_on_failure: true },
          { ...call("s3_get", { key: "private/watched" }), continue_on_failure: true },
        ],
        {},
        { watcher: watchEvents((event) => void events.push(event)) },
      );
      expect(result.status).toBe("completed");
      expect(result.tool_calls[4]?.stdout.text).toMatch(/^[1-9]\d+ looked at; found: \['\/workspace\/control'\]\n$/);
      const journal = readFileSync(join(testHome.tasks, `${result.task_id}.jsonl`), "utf8");
      const everything = [journal, JSON.stringify(result), inspect(events, { depth: 20, maxStringLength: null })].join(
        "\n",
      );
      for (const hidden of [secret, canary, config.credentials?.accessKeyId ?? "", "X-Amz-", "Signature="])
        expect(everything).not.toContain(hidden);
      expect(everything).toContain("data/watched");
    } finally {
      delete process.env["AWS_SECRET_ACCESS_KEY"];
    }
  });

  test("upload - changed files, outputs, result and report are stored as the records have them", async () => {
    const fill =
      "import os; os.makedirs('d/ü', exist_ok=True); open('d/ü/new 1.txt','w').write('new'); open('gone','w').write('x'); print('y' * 3_000_000)";
    const result = await run(
      [call("run_python", { code: fill }), bash("rm gone; ln -s d link; echo more >>'d/ü/new 1.txt'")],
      {},
      { store: { prefix: "runs/7" } },
    );
    expect(result.artifacts).toMatchObject({ store: "s3", prefix: "runs/7", failed: [], left_out: ["link (symlink)"] });
    const stored = result.artifacts?.stored ?? [];
    const spill = result.tool_calls[0]?.stdout.spill;
    expect(stored.map(({ kind, key }) => [kind, key])).toEqual([
      ["file", "runs/7/files/d/ü/new 1.txt"],
      ["output", `runs/7/outputs/${result.tool_calls[0]?.tool_call_id}.stdout`],
      ["report", "runs/7/report.html"],
      ["result", "runs/7/result.json"],
    ]);
    expect(stored[0]).toMatchObject({
      url: `s3://${config.bucket}/runs/7/files/d/ü/new 1.txt`,
      sha256: sha256Of("newmore\n"),
      path: "d/ü/new 1.txt",
    });
    expect(stored[1]).toMatchObject({ sha256: spill?.sha256, bytes: 3_000_001 });
    const read = async (key: string): Promise<string> => {
      const chunks: Buffer[] = [];
      for await (const chunk of (await store.get(key)).content) chunks.push(chunk);
      return Buffer.concat(chunks).toString();
    };
    expect(JSON.parse(await read("runs/7/result.json"))).toMatchObject({
      task_id: result.task_id,
      status: "completed",
    });
    expect(await read("runs/7/report.html")).toContain(result.task_id);
    expect(await read("runs/7/files/d/ü/new 1.txt")).toBe("newmore\n");
  });

  test("upload - a file that changed after its record is not stored under the record's name", async () => {
    const change = async (lease: Lease): Promise<void> => void (await lease.sandbox.files.write("late", "other"));
    const noticed: string[] = [];
    await using lease = await app.fleet.lease({
      nodeType: "file",
      limits: (await import("../../src/executor/compile.ts")).compileLimits(undefined),
      network: "none",
      env: {},
      bare: true,
      signal: new AbortController().signal,
      onProgress: (message) => void noticed.push(message),
    });
    const result = await run(
      [call("write_file", { path: "late", content: "first" })],
      { network: "none" },
      {
        place: makeLeasePlace(lease),
        store: { prefix: "runs/8" },
        watcher: { call: () => change(lease) },
      },
    );
    expect(result.status).toBe("completed");
    expect(result.artifacts?.failed).toMatchObject([
      {
        kind: "file",
        key: "runs/8/files/late",
        error: { code: "artifact_failed", message: expect.stringContaining("was announced") },
      },
    ]);
    await expect(store.head("runs/8/files/late")).rejects.toMatchObject({ code: "not_found" });
  });

  test("upload - a store that is down costs no result", async () => {
    const down: ArtifactsConfig = {
      store: "s3",
      keep: "all",
      s3: { ...config, endpoint: "http://127.0.0.1:1", attempts: 1 },
      grants: [],
    };
    await using broken = await openTestApp({ artifacts: down });
    const task = TaskInput.parse({
      bare: true,
      node_type: "file",
      tool_calls: [call("write_file", { path: "f", content: "x" })],
    });
    const result = await broken.executor.runTask(task);
    expect(result).toMatchObject({ status: "completed", artifacts: { stored: [] } });
    expect(result.artifacts?.failed.map(({ kind, error }) => [kind, error.code])).toEqual([
      ["file", "artifact_failed"],
      ["report", "artifact_failed"],
      ["result", "artifact_failed"],
    ]);
    expect(broken.store.read(result.task_id).at(-1)).toMatchObject({ line: "end", result: { status: "completed" } });
  });

  test("upload - with keep outputs only what was spilled is stored, unasked", async () => {
    const artifacts: ArtifactsConfig = { store: "s3", keep: "outputs", s3: config, grants: [] };
    await using keeping = await openTestApp({ artifacts });
    const task = TaskInput.parse({
      bare: true,
      node_type: "file",
      tool_calls: [bash("echo x >f; head -c 2000000 /dev/zero | tr '\\0' x")],
    });
    const result = await keeping.executor.runTask(task);
    expect(result.artifacts?.stored.map(({ kind, bytes }) => [kind, bytes])).toEqual([["output", 2_000_000]]);
    expect(result.artifacts?.prefix).toBe(`tasks/${result.task_id}`);
  });
});
