import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { App } from "../../src/app.ts";
import type { ToolCallRecord } from "../../src/model/record.ts";
import type { TaskResult } from "../../src/model/result.ts";
import type { LimitsInput } from "../../src/model/task.ts";
import { describeDrivers } from "../support/drivers.ts";
import { openTestApp } from "../support/home.ts";
import { expectCleanHost, listLeftovers } from "../support/host-state.ts";

const MIB = 1024 * 1024;
const CANARY = "CANARY-3f9d61c2";

describeDrivers((driver) => {
  let app: App;
  let before: string[];
  let hostServer: Server;
  let hostPort = 0;
  let hostReached = 0;
  const secretFile = join(tmpdir(), "paddock-canary");

  beforeAll(async () => {
    process.env["PADDOCK_TEST_SECRET"] = CANARY;
    writeFileSync(secretFile, CANARY, { mode: 0o600 });
    app = await openTestApp(driver.config);
    await app.fleet.start();
    before = listLeftovers();
    hostServer = createServer(() => {
      hostReached += 1;
    });
    await new Promise<void>((resolve) => hostServer.listen(0, "127.0.0.1", resolve));
    hostPort = (hostServer.address() as { port: number }).port;
  });

  afterEach(async () => {
    await expectCleanHost(before);
  });

  afterAll(async () => {
    hostServer.close();
    rmSync(secretFile, { force: true });
    await app[Symbol.asyncDispose]();
  });

  interface GuestOptions {
    readonly argv?: readonly string[];
    readonly limits?: LimitsInput;
    readonly timeoutMs?: number;
    readonly after?: readonly { readonly tool: string; readonly input: Record<string, unknown> }[];
  }

  async function runGuest(program: string, options: GuestOptions = {}): Promise<TaskResult> {
    const source = readFileSync(new URL(`programs/${program}`, import.meta.url), "utf8");
    const main = {
      tool: "run_command",
      input: { command: ["/usr/bin/python3", "-I", `/tmp/${program}`, ...(options.argv ?? [])] },
      continue_on_failure: true,
      ...(options.timeoutMs === undefined ? {} : { timeout_ms: options.timeoutMs }),
    };
    const write = { tool: "write_file", input: { path: `/tmp/${program}`, content: source } };
    const result = await app.executor.runTask({
      node_type: "file",
      tool_calls: [write, main, ...(options.after ?? []).map((call) => ({ ...call, continue_on_failure: true }))],
      ...(options.limits === undefined ? {} : { limits: options.limits }),
    });
    for (const record of result.tool_calls) expectHonestRecord(record);
    expect(JSON.stringify(result)).not.toContain(CANARY);
    return result;
  }

  /** What every record owes, whatever the guest did. */
  function expectHonestRecord(record: ToolCallRecord): void {
    const sum = Object.values(record.phases_ms).reduce((total, ms) => total + ms, 0);
    expect(record.execution_time_ms).toBeCloseTo(sum, 0);
    expect(record.network_ms + record.compute_ms).toBeCloseTo(record.phases_ms.run, 0);
    expect(record.success).toBe(record.verdict === "ok");
    expect(record.isolation).toMatchObject({ driver: driver.config.driver, seccomp: "filter" });
    expect(record.attempts).toHaveLength(record.retry_count + 1);
  }

  function mainCall(result: TaskResult): ToolCallRecord {
    const record = result.tool_calls[1];
    if (record === undefined) throw new Error(`no main call: ${JSON.stringify(result.error)}`);
    return record;
  }

  function expectWholeTime(record: ToolCallRecord, timeoutMs: number): void {
    expect(record.attempts[0]?.duration_ms).toBeGreaterThanOrEqual(timeoutMs - 50);
  }

  test("guest - a fork bomb ends at its deadline and takes no process of the host", async () => {
    const record = mainCall(await runGuest("fork_bomb.py", { timeoutMs: 1500, limits: { pids: 40 } }));
    expect(record.verdict).toBe("timeout");
    expectWholeTime(record, 1500);
  });

  test("guest - a fork refused by the limit is the verdict pids", async () => {
    const record = mainCall(await runGuest("fork_until_refused.py", { limits: { pids: 24 }, timeoutMs: 10_000 }));
    // A kernel of its own tells the host nothing of a fork that it refused.
    expect(record.verdict).toBe(driver.ownKernel ? "nonzero" : "pids");
    expect(record.return_code).toBe(3);
    expect(Number(/refused after (\d+)/.exec(record.stdout.text)?.[1])).toBeLessThan(24);
  });

  test("guest - a memory bomb is the verdict oom with the peak near the limit", async () => {
    const record = mainCall(await runGuest("memory_bomb.py", { limits: { memory_bytes: 96 * MIB } }));
    expect(record.verdict).toBe("oom");
    expect(record.error?.message).toContain("96 MiB");
    // A kernel of its own dies with its guest, and its counters with it.
    if (driver.ownKernel) return;
    expect(record.max_rss_bytes).toBeGreaterThan(80 * MIB);
    expect(record.max_rss_bytes).toBeLessThanOrEqual(97 * MIB);
  });

  test("guest - a cpu spin is held to its share and ends at its deadline with its output", async () => {
    const record = mainCall(await runGuest("cpu_spin.py", { limits: { cpus: 0.5 }, timeoutMs: 1500 }));
    expect(record.verdict).toBe("timeout");
    expectWholeTime(record, 1500);
    expect(record.stdout.text).toBe("spinning\n");
    expect(record.source).toBe("cgroup");
    expect((record.cpu_user_ms ?? 0) + (record.cpu_system_ms ?? 0)).toBeLessThan(1.6 * 0.5 * 2000);
  });

  test("guest - a disk fill is the verdict disk at the workspace's size", async () => {
    const result = await runGuest("disk_fill.py", { limits: { workspace_bytes: 48 * MIB }, timeoutMs: 30_000 });
    const record = mainCall(result);
    expect(record.verdict).toBe("disk");
    const written = record.files_created.find((file) => file.path === "fill.bin");
    expect(written?.size).toBeLessThanOrEqual(48 * MIB);
    expect(written?.size).toBeGreaterThan(32 * MIB);
  });

  test.runIf(driver.isWhole)("guest - a million one-byte writes all arrive", async () => {
    const record = mainCall(await runGuest("tiny_writes.py"));
    expect(record.verdict).toBe("ok");
    expect(record.stdout.total_bytes).toBe(1_000_000);
    expect(record.stdout.text).toBe("x".repeat(1_000_000));
  });

  test.runIf(driver.isWhole)(
    "guest - 1 GiB to stdout keeps head and tail, spills 64 MiB and counts the rest, with flat host memory",
    async () => {
      const rssBefore = process.memoryUsage().rss;
      let peak = 0;
      const watch = setInterval(() => {
        peak = Math.max(peak, process.memoryUsage().rss);
      }, 50);
      const record = mainCall(await runGuest("flood.py", { timeoutMs: 60_000 }));
      clearInterval(watch);
      expect(record.verdict).toBe("ok");
      expect(record.stdout.total_bytes).toBe(1024 * MIB);
      expect(record.stdout.spill).toMatchObject({ bytes: 64 * MIB, sha256: expect.stringMatching(/^[0-9a-f]{64}$/) });
      expect(record.stdout.text.length).toBeLessThan(1.1 * MIB);
      expect(record.stdout.dropped_bytes).toBeGreaterThan(900 * MIB);
      expect(peak - rssBefore).toBeLessThan(200 * MIB);
    },
  );

  test.runIf(driver.isWhole)("guest - UTF-8 split over writes stays whole and bad bytes are replaced", async () => {
    const record = mainCall(await runGuest("split_utf8.py"));
    expect(record.stdout.text).toBe("grün € 🐎 ende");
    expect(record.stderr.text).toBe("bad \ufffd byte");
  });

  test("guest - a program deaf to signals is killed at its deadline", async () => {
    const record = mainCall(await runGuest("ignore_term.py", { timeoutMs: 1000 }));
    expect(record.verdict).toBe("timeout");
    expectWholeTime(record, 1000);
    expect(record.stdout.text).toBe("deaf\n");
  });

  test("guest - a crowd of setsid daemons deaf to TERM is gone with the call, and the sandbox lives on", async () => {
    const result = await runGuest("deaf_crowd.py", {
      timeoutMs: 1500,
      after: [{ tool: "run_command", input: { command: "ls /proc | grep -c '^[0-9]'" } }],
    });
    const record = mainCall(result);
    expect(record.verdict).toBe("timeout");
    expectWholeTime(record, 1500);
    if (!record.sandbox_killed) expect(Number(result.tool_calls[2]?.stdout.text)).toBeLessThan(8);
  });

  test("guest - what a call leaves running is killed with it", async () => {
    const program = readFileSync(new URL("programs/list_processes.py", import.meta.url), "utf8");
    const result = await runGuest("daemon.py", {
      after: [{ tool: "run_command", input: { command: ["/usr/bin/python3", "-I", "-c", program] } }],
    });
    expect(mainCall(result)).toMatchObject({ verdict: "ok", return_code: 0 });
    expect(result.tool_calls[2]?.stdout.text).not.toContain("daemon.py");
  });

  test("guest - the host's files, environment and kernel secrets cannot be read", async () => {
    const record = mainCall(await runGuest("read_host.py"));
    expect(record.stdout.text).not.toContain("CANARY FILE");
    expect(record.stdout.text).not.toMatch(/^READ \/proc\/(kcore|1\/environ|sysrq-trigger)/m);
    expect(record.stdout.text).not.toContain(app.config.home.root);
    expect(record.stdout.text.match(/^fd \d+$/gm)?.length).toBeLessThanOrEqual(4);
    expect(record.verdict).toBe("ok");
  });

  test("guest - no socket reaches the host, the network, a resolver or a hypervisor", async () => {
    const record = mainCall(await runGuest("open_sockets.py", { argv: [String(hostPort)], timeoutMs: 20_000 }));
    expect(record.stdout.text).toContain("REACHED []");
    expect(hostReached).toBe(0);
  });

  test.runIf(driver.isWhole)(
    "guest - planted links and pipes are refused to file tools and reach nothing of the host",
    async () => {
      const names = ["shadow", "descriptor", "root/etc/hostname", "up/etc/shadow", "slash/etc/shadow", "pipe"];
      const result = await runGuest("plant_links.py", {
        after: names.map((path) => ({ tool: "read_file", input: { path } })),
      });
      expect(mainCall(result).verdict).toBe("ok");
      for (const [index, name] of names.entries()) {
        const record = result.tool_calls[index + 2];
        expect([name, record?.success, record?.verdict]).toEqual([name, false, "nonzero"]);
      }
    },
  );

  test("guest - the supervisor cannot be signalled, read, limited or traced, and answers after kill -9 -1", async () => {
    const result = await runGuest("attack_supervisor.py", {
      argv: driver.ownKernel ? ["spare-init"] : [],
      after: [{ tool: "run_command", input: { command: "echo alive" } }],
    });
    const { text } = mainCall(result).stdout;
    expect(text).not.toContain("OPENED");
    // gVisor tells the numbers of foreign descriptors, and gives none away.
    if (!driver.ownKernel) expect(text).not.toContain("listed");
    expect(text).toMatch(/prlimit -1 Operation not permitted/);
    expect(text).toMatch(/ptrace -1 Operation not permitted/);
    expect(text).toMatch(/sched -1 Operation not permitted/);
    expect(result.tool_calls[2]?.stdout.text).toBe("alive\n");
  });

  test.runIf(driver.ownKernel)(
    "guest - gVisor does not protect a first process: who kills it ends their own sandbox, and the record says so",
    async () => {
      const record = mainCall(await runGuest("attack_supervisor.py"));
      expect(record).toMatchObject({ verdict: "lost", success: false, error: { code: "sandbox_lost" } });
    },
  );

  test.runIf(driver.isWhole)(
    "guest - 20,000 dials without the key end the sandbox with protocol_error, cheaply",
    async () => {
      const cpuBefore = process.cpuUsage();
      const record = mainCall(await runGuest("dial_flood.py", { timeoutMs: 20_000 }));
      expect(record.verdict).toBe("platform");
      expect(record.error?.code).toBe("protocol_error");
      expect(record.retry_count).toBe(0);
      expect(process.cpuUsage(cpuBefore).user / 1000).toBeLessThan(4000);
    },
  );

  test.runIf(driver.isWhole)(
    "guest - garbage instead of supervisor frames ends the sandbox with protocol_error",
    async () => {
      const record = mainCall(await runGuest("garbage_frames.py", { timeoutMs: 20_000 }));
      expect(record).toMatchObject({ verdict: "platform", error: { code: "protocol_error" } });
    },
  );

  test.runIf(driver.isWhole)(
    "guest - connections held open without the key end the sandbox with protocol_error",
    async () => {
      const record = mainCall(await runGuest("hold_connections.py", { timeoutMs: 20_000 }));
      expect(record).toMatchObject({ verdict: "platform", error: { code: "protocol_error" } });
    },
  );
});
