import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { CliProcess, runCli } from "../support/cli.ts";
import { TEST_HOME, testEnv } from "../support/home.ts";

/** Kept between runs as the tests' data folder is, for its copy of Node; its state and workspaces are not. */
const HOME = `${TEST_HOME}-serve`;
const LOCK = `${HOME}/state/server.lock`;
const env = (more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv => ({ ...testEnv(), PADDOCK_HOME: HOME, ...more });

const forget = (): void => {
  for (const room of ["state", "workspaces", "config.json"])
    rmSync(`${HOME}/${room}`, { recursive: true, force: true });
};

beforeAll(() => {
  mkdirSync(HOME, { recursive: true, mode: 0o711 });
  forget();
});
afterAll(forget);

const servers: CliProcess[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.child.kill("SIGKILL");
    await server.exited;
  }
});

interface Facts {
  readonly url: string;
  readonly pid: number;
  readonly content_url: string;
  readonly node_id: string;
  readonly admin_token?: string;
}

class Server {
  readonly process: CliProcess;
  #text = "";

  constructor(args: readonly string[] = [], more: NodeJS.ProcessEnv = {}) {
    this.process = new CliProcess(["serve", "--json", "--port", "0", ...args], { env: env(more) });
    servers.push(this.process);
    this.process.child.stdout?.on("data", (chunk: string) => {
      this.#text += chunk;
    });
  }

  async facts(): Promise<Facts> {
    await this.process.saw("stdout", /"url":"[^\n]*\n/);
    const line = this.#text.split("\n").find((text) => text.includes('"url":'));
    return JSON.parse(line ?? "") as Facts;
  }
}

async function startTask(url: string, token: string): Promise<void> {
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const post = async (path: string, body: unknown): Promise<Record<string, string>> =>
    (await (
      await fetch(`${url}/api/v0${path}`, { method: "POST", headers, body: JSON.stringify(body) })
    ).json()) as Record<string, string>;
  const name = `long-${Date.now()}`;
  await post("/agents", { name, metadata: { bare: true } });
  const code = "import time\nprint('go' + 'ing', flush=True)\ntime.sleep(600)";
  const { id } = await post(`/agents/${name}/responses`, { input: { content: [{ type: "python", content: code }] } });
  const response = await fetch(`${url}/api/v0/agents/${name}/responses/${id}/events`, { headers });
  let text = "";
  for await (const chunk of response.body ?? []) {
    text += Buffer.from(chunk as Uint8Array).toString();
    if (text.includes("going")) return;
  }
}

test("serve - the first start shows the admin token once; a signal stops it in order", async () => {
  const first = new Server();
  const { url, content_url, admin_token: token = "", pid } = await first.facts();
  expect(content_url).toBe(`${url}/content/`);
  expect([token, pid]).toEqual([expect.stringMatching(/^pdk_/), first.process.pid]);
  expect((await fetch(`${url}/api/v0/auth`, { headers: { authorization: `Bearer ${token}` } })).status).toBe(200);
  first.process.child.kill("SIGTERM");
  const ended = await first.process.exited;
  expect([ended.code, ended.signal]).toEqual([0, null]);
  expect(ended.stdout.match(/pdk_/g)).toHaveLength(1);
  expect(ended.stderr).not.toContain("pdk_");
  const phases = ended.stdout.split("\n").flatMap((line) => /"phase":"(\w+)"/.exec(line)?.[1] ?? []);
  expect(phases).toEqual(["ready", "draining", "closing", "stopped"]);

  const second = new Server([], { PADDOCK_HOST: "127.0.0.1" });
  expect((await second.facts()).admin_token).toBeUndefined();
  const refused = await runCli(["serve", "--port", "0"], { env: env() });
  expect([refused.code, refused.stderr]).toEqual([78, expect.stringContaining("another server (pid")]);
  const { port } = new URL((await second.facts()).url);
  const taken = await runCli(["serve", "--port", port], { env: env({ PADDOCK_HOME: `${HOME}-b` }) });
  rmSync(`${HOME}-b`, { recursive: true, force: true });
  expect([taken.code, taken.stderr]).toEqual([78, expect.stringContaining(`127.0.0.1:${port} is in use`)]);
  second.process.child.kill("SIGINT");
  expect((await second.process.exited).code).toBe(0);
});

test("serve - for people it says where, how to try it, and warns where tokens travel in the open", async () => {
  const server = new CliProcess(["serve", "--host", "0.0.0.0", "--port", "0", "--new-admin-token"], { env: env() });
  await server.saw("stdout", "Try it:");
  await server.saw("stderr", "warning: 0.0.0.0 can be reached from other machines");
  server.child.kill("SIGTERM");
  const { code, stdout } = await server.exited;
  expect(code).toBe(0);
  expect(stdout).toMatch(/Paddock serves http:\/\/127\.0\.0\.1:\d+/);
  expect(stdout).toMatch(/Admin token, shown only now: pdk_/);
});

test("serve - a second signal ends it at once, and its sandboxes with it", async () => {
  const server = new Server(["--new-admin-token"]);
  const { url, admin_token: token = "" } = await server.facts();
  await startTask(url, token);
  server.process.child.kill("SIGTERM");
  await server.process.saw("stderr", "once more ends at once");
  server.process.child.kill("SIGTERM");
  expect((await server.process.exited).code).toBe(143);
  await expect.poll(() => listGuests(), { timeout: 5000 }).toEqual([]);
});

test("serve - a signal while it starts ends the start, and the data folder is free", async () => {
  const server = new Server();
  // Its handlers are there when the lock is; where exactly the signal finds it does not matter.
  const isHeld = (): boolean => readFileSync(LOCK, "utf8").includes(`${server.process.pid}`);
  await expect.poll(() => existsSync(LOCK) && isHeld(), { timeout: 20_000, interval: 5 }).toBe(true);
  server.process.child.kill("SIGTERM");
  const { code, stderr } = await server.process.exited;
  expect([0, 130], stderr).toContain(code);
  expect(existsSync(LOCK)).toBe(false);
});

test("serve - a wrong option or setting is told with the right exit code", async () => {
  expect((await runCli(["serve", "--port", "70000"], { env: env() })).code).toBe(64);
  const weak = await runCli(["serve", "--port", "0"], { env: env({ PADDOCK_ADMIN_PASSWORD: "short" }) });
  expect([weak.code, weak.stderr]).toEqual([78, expect.stringContaining("PADDOCK_ADMIN_PASSWORD")]);
  expect((await runCli(["serve", "--host", "192.0.2.1", "--port", "0"], { env: env() })).stderr).toContain(
    "no address of this machine",
  );
});

/** Processes that see our data folder in their mounts and are no part of the server: what sandboxes run. */
function listGuests(): string[] {
  return readdirSync("/proc").filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/mountinfo`, "utf8").includes(`${HOME}/`);
    } catch {
      return false;
    }
  });
}

test("serve - where it may, the server lowers itself among what the kernel takes when memory is short", async () => {
  const lower = "echo -500 2> /dev/null > /proc/self/oom_score_adj; cat /proc/self/oom_score_adj";
  const { stdout: allowed } = spawnSync("/bin/sh", ["-c", `{ ${lower}; } 2> /dev/null`], { encoding: "utf8" });
  const server = new Server();
  const { pid } = await server.facts();
  expect(readFileSync(`/proc/${pid}/oom_score_adj`, "utf8")).toBe(allowed);
  server.process.child.kill("SIGTERM");
  await server.process.exited;
});
