import { afterAll, beforeAll, expect, test } from "vitest";
import type { App } from "../../src/app.ts";
import type { NodeType } from "../../src/model/node-type.ts";
import type { TaskResult } from "../../src/model/result.ts";
import { TaskInput } from "../../src/model/task.ts";
import { openTestApp } from "../support/home.ts";
import { expectCleanHost, listLeftovers } from "../support/host-state.ts";

let app: App;
let before: string[];
const signal = new AbortController().signal;

beforeAll(async () => {
  app = await openTestApp();
  await app.fleet.start();
  before = listLeftovers();
  for (const type of ["python", "javascript", "web"] as const) {
    await app.fleet.templates.ensure(type, { signal, onProgress: () => undefined });
  }
}, 600_000);

afterAll(async () => {
  await app[Symbol.asyncDispose]();
  await expectCleanHost(before);
});

async function run(task: unknown): Promise<TaskResult> {
  return await app.executor.runTask(TaskInput.parse(task));
}

async function calls(
  nodeType: NodeType,
  network: string,
  toolCalls: readonly [string, Record<string, unknown>][],
): Promise<TaskResult> {
  const result = await run({
    node_type: nodeType,
    network,
    limits: { memory_bytes: 1024 ** 3 },
    tool_calls: toolCalls.map(([tool, input]) => ({ tool, input, continue_on_failure: true })),
  });
  expect(result.tool_calls).toHaveLength(toolCalls.length);
  return result;
}

test("templates - the python node has its packages warm, and a figure comes back as PNG", async () => {
  const code = "import pandas, matplotlib.pyplot as plt\nplt.plot([1, 3, 2])\npandas.DataFrame({'a': [1, 2]})";
  const result = await calls("python", "none", [["run_python", { code }]]);
  const [record] = result.tool_calls;
  expect(record).toMatchObject({
    verdict: "ok",
    memory_shared: "template",
    attribution: "exclusive",
    source: "cgroup",
  });
  expect(record?.isolation?.template).toMatch(/^[0-9a-f]{64}$/);
  const rich = result.values[0]?.rich ?? [];
  expect(rich.map((one) => one.mime)).toEqual(expect.arrayContaining(["text/html", "image/png"]));
  const png = Buffer.from(rich.find((one) => one.mime === "image/png")?.base64 ?? "", "base64");
  expect(png.subarray(1, 4).toString()).toBe("PNG");
});

test("templates - a template cannot be changed from inside", async () => {
  const result = await calls("python", "none", [
    [
      "run_command",
      {
        command: "touch /opt/paddock/env/x; echo x >> /opt/paddock/env/venv/lib/python3*/site-packages/six.py",
      },
    ],
  ]);
  expect(result.tool_calls[0]?.stderr.text).toMatch(
    /Read-only file system[\s\S]*(Read-only file system|Permission denied)/,
  );
});

test("templates - a template is built once, listed as current and left alone by prune", async () => {
  const before = (await app.fleet.templates.list()).filter((one) => one.current).map((one) => one.manifest.hash);
  expect(before.length).toBeGreaterThanOrEqual(3);
  await app.fleet.templates.prune({ all: false });
  const after = (await app.fleet.templates.list()).map((one) => one.manifest.hash);
  expect(after).toEqual(expect.arrayContaining(before));
});

test("templates - a template whose content was changed on the host is refused", async () => {
  const { appendFileSync, readFileSync, rmSync, truncateSync, statSync } = await import("node:fs");
  const template = await app.fleet.templates.ensure("web", { signal, onProgress: () => undefined });
  const folder = template?.folder ?? "";
  const file = `${folder}/ready.json`;
  const size = statSync(file).size;
  appendFileSync(file, " ");
  rmSync(`${folder}/../verified`);
  await using fresh = await openTestApp();
  await fresh.fleet.start();
  await expect(fresh.fleet.templates.ensure("web", { signal, onProgress: () => undefined })).rejects.toMatchObject({
    code: "template_corrupt",
  });
  truncateSync(file, size);
  expect(JSON.parse(readFileSync(file, "utf8"))).toMatchObject({ ok: true });
  await fresh.fleet.templates.ensure("web", { signal, onProgress: () => undefined });
});

test("egress - pip, npm, curl, requests, fetch and axios reach the registries without knowing of the proxy", async () => {
  const python = await calls("web", "pypi", [
    [
      "run_command",
      // biome-ignore lint/suspicious/noTemplateCurlyInString: bash expands it
      { command: "curl -sS -o /dev/null -w '%{http_code}' ${PIP_INDEX_URL:-https://pypi.org/simple}/six/" },
    ],
    [
      "run_python",
      {
        code: "import os, requests\nrequests.get(os.environ.get('PIP_INDEX_URL', 'https://pypi.org/simple') + '/six/').status_code",
      },
    ],
    ["install_packages", { manager: "pip", packages: ["six"] }],
  ]);
  expect(python.tool_calls.map((record) => [record.operation, record.verdict, record.stderr.text.slice(-300)])).toEqual(
    python.tool_calls.map((record) => [record.operation, "ok", record.stderr.text.slice(-300)]),
  );
  expect(python.tool_calls[0]?.stdout.text).toBe("200");
  expect(python.values[1]?.value).toBe("200");
  expect(python.tool_calls[2]?.dependencies_installed).toMatchObject([{ manager: "pip", name: "six" }]);
  for (const record of python.tool_calls) {
    expect(record.network_ms).toBeGreaterThan(0);
    expect(record.egress.some((row) => row.verdict === "allowed" && row.rx_bytes > 0)).toBe(true);
  }
  const registry = "(process.env.npm_config_registry ?? 'https://registry.npmjs.org/')";
  const javascript = await calls("javascript", "npm", [
    ["run_javascript", { code: `const r = await fetch(${registry} + 'is-number'); r.status` }],
    ["run_javascript", { code: `const axios = require('axios'); (await axios.get(${registry} + 'is-number')).status` }],
    ["install_packages", { manager: "npm", packages: ["is-number@7.0.0"] }],
  ]);
  expect(javascript.values.slice(0, 2).map((value) => value.value)).toEqual(["200", "200"]);
  expect(javascript.tool_calls[2]?.dependencies_installed).toMatchObject([
    { manager: "npm", name: "is-number", version: "7.0.0" },
  ]);
  expect(javascript.tool_calls.map((record) => record.verdict)).toEqual(["ok", "ok", "ok"]);
});

test("egress - a denied host gets a 403 that names the policy, and the call says denied", async () => {
  const result = await calls("file", "npm", [
    ["run_command", { command: "curl -sS -i http://example.com/ | head -1; curl -fsS https://example.org/" }],
  ]);
  const [record] = result.tool_calls;
  expect(record?.stdout.text).toMatch(/^HTTP\/1\.1 403 Egress denied by policy "npm": example\.com:80 is not listed/);
  expect(record).toMatchObject({ verdict: "denied", error: { code: "denied" } });
  expect(record?.egress.map((row) => [row.host, row.port, row.verdict])).toEqual([
    ["example.com", 80, "denied"],
    ["example.org", 443, "denied"],
  ]);
});
