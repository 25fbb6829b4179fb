import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runSetup } from "../../src/agents/sandbox/setup.ts";
import type { App } from "../../src/app.ts";
import type { Lease } from "../../src/fleet/leases/lease.ts";
import type { AgentSettings, SetupReport } from "../../src/model/agent.ts";
import { openTestApp } from "../support/home.ts";
import { bash, inAgent } from "./sandboxes.ts";

let app: App;

beforeAll(async () => {
  app = await openTestApp();
});

afterAll(async () => await app[Symbol.asyncDispose]());

const SETTINGS: AgentSettings = {
  nodeType: "python",
  network: undefined,
  bare: undefined,
  limits: {},
  env: {},
  setup: undefined,
  instructions: undefined,
};
const never = new AbortController().signal;

async function setUp(
  lease: Lease,
  settings: Partial<AgentSettings>,
  options: { timeoutMs?: number; signal?: AbortSignal } = {},
): Promise<SetupReport | null> {
  return await runSetup(
    lease,
    { settings: { ...SETTINGS, ...settings } },
    { timeoutMs: 20_000, signal: never, ...options },
  );
}

describe("setup", () => {
  test("makes folders and files with their modes, and runs the setup in /agent", async () => {
    await inAgent(app, async (lease) => {
      const report = await setUp(lease, {
        env: { A: "1" },
        instructions: "Be kind.",
        setup: "pwd; echo oh >&2; echo $0\nexit 7",
      });
      expect(report).toEqual({
        status: "failed",
        exit_code: 7,
        stdout: "/agent\n/agent/code/setup.sh\n",
        stderr: "oh\n",
        started_at: expect.stringMatching(/Z$/),
        duration_ms: expect.any(Number),
      });
      const listing = await bash(
        lease,
        "stat -c '%a %n' .env code content logs code/instructions.md code/setup.sh; tail -c 5 code/setup.sh | od -An -c",
      );
      expect(listing).toBe(
        "600 .env\n755 code\n755 content\n755 logs\n644 code/instructions.md\n755 code/setup.sh\n   i   t       7  \\n\n",
      );
      expect(await bash(lease, "cat code/instructions.md")).toBe("Be kind.\n");
    });
  });

  test("without setup there is no report, and everything else is there", async () => {
    await inAgent(app, async (lease) => {
      expect(await setUp(lease, {})).toBeNull();
      expect(await bash(lease, "ls -A; wc -c < .env")).toBe(
        ".env\n.paddock\ncode\ncontent\nlogs\n0\n".replace(".paddock\n", ""),
      );
    });
  });

  test("a wake runs what stands in the workspace: a task's changes stay, what it removed comes back", async () => {
    await inAgent(app, async (lease) => {
      const settings = { setup: "echo first", env: { A: "1" } };
      await setUp(lease, settings);
      await bash(lease, "echo 'echo second' > code/setup.sh; echo B=2 >> .env; rm -r logs");
      expect(await setUp(lease, settings)).toMatchObject({ status: "ok", exit_code: 0, stdout: "second\n" });
      expect(await bash(lease, "cat .env; ls -d logs")).toBe("A='1'\nB=2\nlogs\n");
      await bash(lease, "rm code/setup.sh; mkdir code/setup.sh.new");
      expect(await setUp(lease, settings)).toMatchObject({ status: "ok", stdout: "first\n" });
    });
  });

  test("a deadline ends the setup with all it started", async () => {
    await inAgent(app, async (lease) => {
      const report = await setUp(lease, { setup: "setsid sleep 300 & echo begun; sleep 300" }, { timeoutMs: 500 });
      expect(report).toMatchObject({ status: "timeout", stdout: "begun\n" });
      expect(await lease.sandbox.processes()).toEqual([]);
    });
  });

  test("a signal ends it and is thrown", async () => {
    await inAgent(app, async (lease) => {
      const controller = new AbortController();
      const reason = new Error("deleted");
      const running = runSetup(
        lease,
        { settings: { ...SETTINGS, setup: "echo on; sleep 300" } },
        { timeoutMs: 60_000, signal: controller.signal, onOutput: () => controller.abort(reason) },
      );
      await expect(running).rejects.toBe(reason);
    });
  });

  test("what it prints is kept in head and tail", async () => {
    await inAgent(app, async (lease) => {
      const report = await setUp(lease, { setup: "seq 100000; seq 100000 >&2; kill -9 $$" });
      expect(report).toMatchObject({ status: "failed", signal: "KILL" });
      expect(report).not.toHaveProperty("exit_code");
      expect(report?.stdout).toMatch(/^1\n2\n.*left out.*99999\n100000\n$/s);
      expect(Buffer.byteLength(report?.stdout ?? "")).toBeLessThan(17_000);
      expect(Buffer.byteLength(report?.stderr ?? "")).toBeLessThan(17_000);
    });
  });

  test("whatever a task left in the places of its files is a report, and leads nowhere", async () => {
    await inAgent(app, async (lease) => {
      await bash(lease, "ln -s /etc code");
      const report = await setUp(lease, { setup: "true" });
      expect(report).toMatchObject({ status: "failed", stdout: "" });
      expect(report?.stderr).toMatch(/code/);
      await bash(lease, "rm code; echo x > logs.txt; rm -rf logs; ln -s logs.txt logs");
      expect(await setUp(lease, { setup: "true" })).toMatchObject({ status: "failed" });
    });
  });

  test("a setup that takes its sandbox with it is a report too", async () => {
    await inAgent(app, async (lease) => {
      const ended = lease.sandbox.ended;
      const report = runSetup(
        lease,
        { settings: { ...SETTINGS, setup: "echo on; sleep 300" } },
        { timeoutMs: 60_000, signal: never, onOutput: () => void lease.sandbox.host.kill("test") },
      );
      expect(await report).toMatchObject({ status: "failed", stdout: "on\n" });
      await ended;
      expect(lease.sandbox.end).toBeDefined();
    });
  });

  test("values of .env mean themselves to bash, whatever is in them", async () => {
    const env = Object.fromEntries(
      [
        "plain",
        "",
        " leading and trailing ",
        "it's",
        'say "hi"',
        // biome-ignore lint/suspicious/noTemplateCurlyInString: bash is what it is for.
        "$HOME ${PATH} $(id) `id` $((1+1))",
        "a;b&c|d>e<f(g)h{i}j[k]l*m?n~o#p!q",
        "\\ \\n \\\\ end\\",
        "two\nlines\n\n",
        "tab\tand\rreturn\u0001\u001b[31m\u007f",
        "äöü€😀\u2028",
        "=a=b",
        "\n.env\nX=1",
        "'\"'\"'$'\\''",
      ].map((value, index) => [`V_${index}`, value]),
    );
    await inAgent(app, async (lease) => {
      await setUp(lease, { env });
      const script = `set -a; . ./.env; python3 -c 'import os,json; print(json.dumps({k:v for k,v in os.environ.items() if k.startswith("V_")}))'`;
      for (const locale of ["C", "C.UTF-8"])
        expect(
          JSON.parse(
            await bash(
              lease,
              `export LC_ALL=${locale}; env -i LC_ALL=${locale} PATH=$PATH bash -c ${JSON.stringify(script).replaceAll("$", "\\$")}`,
            ),
          ),
        ).toEqual(env);
    });
  });
});
