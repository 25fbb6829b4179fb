import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync, rmSync } from "node:fs";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, expect, test } from "vitest";
import { CLI } from "../support/cli.ts";
import { makeServiceRoot } from "../support/service.ts";

/**
 * The service's quick start of README.md, against `paddock serve`. Only address and token are filled in, and the agent
 * is bare.
 */

const root = makeServiceRoot();
const env = { ...process.env, PADDOCK_HOME: root };
const server = spawn(process.execPath, [CLI, "serve", "--port", "0", "--json"], {
  env,
  stdio: ["ignore", "pipe", "inherit"],
});
let facts: { readonly url: string; readonly admin_token: string };

beforeAll(async () => {
  const [line] = (await once(createInterface(server.stdout), "line")) as [string];
  facts = JSON.parse(line) as typeof facts;
});

afterAll(async () => {
  const exited = once(server, "exit");
  server.kill("SIGTERM");
  await exited;
  rmSync(root, { recursive: true, force: true });
});

function readScript(): string {
  const text = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
  const [, block = ""] = /^```curl\n(.*?)^```$/ms.exec(text) ?? [];
  return block
    .replace("http://127.0.0.1:9000", facts.url)
    .replace("pdk_...", facts.admin_token)
    .replace('"demo-python"}', '"demo-python", "metadata": {"bare": true}}');
}

test("readme - the service's quick start does what it says", () => {
  const { status, stdout, stderr } = spawnSync("bash", ["-euo", "pipefail", "-c", readScript()], {
    encoding: "utf8",
    timeout: 50_000,
  });
  expect([status, stderr]).toEqual([0, ""]);
  for (const part of ['"name":"demo-python"', "42\\n", "kept\n", "event: output", "event: done", '"verdict":"ok"'])
    expect(stdout).toContain(part);
});
