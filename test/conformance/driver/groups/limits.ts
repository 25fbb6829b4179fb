import { readFileSync } from "node:fs";
import { expect } from "vitest";
import type { ProcessResult } from "../../../../src/sandbox/process.ts";
import type { Checks } from "../check.ts";
import type { Guest } from "../guest.ts";

const MIB = 1024 * 1024;

/** Writes below a folder until it is refused; the bytes that fitted, and the error's name. */
const fill = (folder: string): string => `
import errno, os
total, why, count = 0, "", 0
while not why and total < 1 << 31:
    try:
        fd = os.open(f"${folder}/fill{count}", os.O_CREAT | os.O_WRONLY)
        count += 1
        try:
            while True: total += os.write(fd, b"x" * 65536)
        finally: os.close(fd)
    except OSError as error:
        if error.errno != errno.EFBIG: why = errno.errorcode[error.errno]
result = [total, why]
`;

const HOG = "b = bytearray(400 << 20)\nfor i in range(0, len(b), 4096): b[i] = 1\nprint('survived')";

const FORKS = `
import os, signal, time
children = []
try:
    while len(children) < 200:
        pid = os.fork()
        if pid == 0:
            time.sleep(100)
            os._exit(0)
        children.append(pid)
except OSError: pass
print("started", len(children), flush=True)
for pid in children: os.kill(pid, signal.SIGKILL)
`;

/** Sends to itself what nobody reads, over many connections, and holds it; prints the MiB that the kernel took. */
const SOCKET_BUFFERS = `
import resource, socket
server = socket.create_server(("127.0.0.1", 0), backlog=128)
held, total = [], 0
try:
    while len(held) < 200:
        near = socket.create_connection(server.getsockname(), timeout=1)
        far = server.accept()[0]
        held += [near, far]
        near.setblocking(False)
        try:
            while True: total += near.send(b"x" * 65536)
        except BlockingIOError: pass
except (OSError, TimeoutError): pass
print(total >> 20, flush=True)
`;

/** Opens terminals until it is refused, and holds them until its input ends. */
const TERMINALS = `
import errno, os, sys
held = []
try:
    while len(held) < 900: held.append(os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY))
except OSError as error: print(errno.errorcode[error.errno], end=" ")
print(len(held), flush=True)
sys.stdin.read()
`;

const countHostTerminals = (): number => Number(readFileSync("/proc/sys/kernel/pty/nr", "utf8"));

async function runPython(guest: Guest, code: string): Promise<ProcessResult> {
  return await guest.run(["/usr/bin/python3", "-I", "-c", code]);
}

export function checkLimits(checks: Checks): void {
  checks.check("memory: a hog is stopped at the limit, and the host's counter shows it", async (bed) => {
    await using guest = await bed.guest({ limits: { memoryBytes: 128 * MIB } });
    expect(guest.host.usage().oomKills).toBe(0);
    const { stdout, report } = await runPython(guest, HOG);
    expect(stdout.text).not.toContain("survived");
    expect(report?.exit_code ?? null, "it did not end by itself").toBeNull();
    const usage = guest.host.usage();
    expect(usage.oomKills).toBeGreaterThanOrEqual(1);
    // A sandbox with a kernel of its own dies as a whole; nobody could look at its peak any more.
    if (guest.sandbox.end !== undefined) return;
    expect(usage.memoryPeakBytes).toBeGreaterThan(80 * MIB);
    expect(usage.memoryPeakBytes).toBeLessThanOrEqual(129 * MIB);
  });

  checks.check("cpu: the quota holds over several busy processes", async (bed) => {
    await using guest = await bed.guest({ limits: { cpus: 0.25 } });
    const spin = "import time\nend = time.monotonic() + 3\nwhile time.monotonic() < end: pass";
    const before = guest.host.usage().cpuTotalUs ?? 0;
    const beganAt = performance.now();
    await Promise.all([1, 2, 3].map(() => runPython(guest, spin)));
    const wallUs = (performance.now() - beganAt) * 1000;
    const usedUs = (guest.host.usage().cpuTotalUs ?? 0) - before;
    expect(usedUs).toBeGreaterThan(0.1 * wallUs);
    expect(usedUs).toBeLessThan(0.4 * wallUs);
  });

  checks.check("pids: forks are refused at the limit, and the sandbox lives on", async (bed) => {
    await using guest = await bed.guest({ limits: { pids: 40 } });
    const { stdout } = await runPython(guest, FORKS);
    const started = Number(/started (\d+)/.exec(stdout.text)?.[1]);
    expect(started).toBeLessThan(40);
    expect(started).toBeGreaterThan(20);
    expect((await guest.run(["/usr/bin/true"])).report?.exit_code).toBe(0);
  });

  checks.check("pids: the host's counter shows refused forks", async (bed) => {
    await using guest = await bed.guest({ limits: { pids: 40 } });
    await runPython(guest, FORKS);
    expect(guest.host.usage().pidsRefused).toBeGreaterThanOrEqual(1);
  });

  for (const [place, folder, limits] of [
    ["workspace", "/workspace", { workspaceBytes: 48 * MIB }],
    ["tmp", "/tmp", { tmpBytes: 16 * MIB }],
  ] as const) {
    checks.check(`${place}: writing ends at its size with no space left`, async (bed) => {
      await using guest = await bed.guest({ limits });
      const size = Object.values(limits)[0] ?? 0;
      const [total, why] = await guest.python<[number, string]>(fill(folder));
      expect(why).toBe("ENOSPC");
      expect(total).toBeLessThanOrEqual(size);
      expect(total).toBeGreaterThan(0.7 * size);
      expect(
        (await guest.run(["/bin/sh", "-c", `rm ${folder}/fill*; echo works > ${folder}/x`])).report?.exit_code,
      ).toBe(0);
    });
  }

  checks.check("memory: what sockets hold is bounded, too, and the sandbox lives on", async (bed) => {
    await using guest = await bed.guest({ limits: { memoryBytes: 64 * MIB } });
    const { stdout } = await guest.sandbox.runProcess({ argv: ["/usr/bin/python3", "-I", "-c", SOCKET_BUFFERS] });
    expect(Number(stdout.text.trim() || 0)).toBeLessThan(64);
    // Sockets of a sandbox with a kernel of its own are in its memory, and it dies as a whole.
    if (guest.sandbox.end !== undefined) return expect(guest.host.usage().oomKills).toBeGreaterThanOrEqual(1);
    expect((await guest.run(["/usr/bin/true"])).report?.exit_code).toBe(0);
  });

  checks.check("terminals: a sandbox gets a few of the machine's, and can still use one", async (bed) => {
    await using guest = await bed.guest({});
    const argv = ["/usr/bin/python3", "-I", "-c", TERMINALS];
    const before = countHostTerminals();
    const opened = Promise.withResolvers<string>();
    const running = await guest.sandbox.startProcess({
      argv,
      stdin: true,
      onOutput: (_stream, chunk) => opened.resolve(chunk.toString()),
    });
    const said = await opened.promise;
    expect(countHostTerminals() - before, said).toBeLessThan(200);
    running.cancel();
    await running.done;
    const shell = await guest.sandbox.startProcess({ argv: ["/usr/bin/tty"], pty: { rows: 24, cols: 80 } });
    expect((await shell.done).stdout.text).toMatch(/^\/dev\/pts\/\d+/);
  });

  checks.check("open files: a process gets no more than its limit", async (bed) => {
    await using guest = await bed.guest({ limits: { openFiles: 128 } });
    const [count, why, hard] = await guest.python<[number, string, number]>(`
import errno, os, resource
held, why = [], ""
try:
    while len(held) < 4096: held.append(os.open("/dev/null", os.O_RDONLY))
except OSError as error: why = errno.errorcode[error.errno]
count = len(held)
for fd in held: os.close(fd)
result = [count, why, resource.getrlimit(resource.RLIMIT_NOFILE)[1]]`);
    expect(why).toBe("EMFILE");
    expect(count).toBeLessThan(128);
    expect(hard).toBeLessThanOrEqual(128);
  });

  checks.check(
    "output: a flood keeps head and tail, counts the rest and leaves the host's memory alone",
    async (bed) => {
      await using guest = await bed.guest({ limits: { spillBytes: MIB } });
      const before = process.memoryUsage().rss;
      const { stdout, report } = await runPython(guest, "import os\nfor _ in range(1024): os.write(1, b'x' * 65536)");
      expect(report?.exit_code).toBe(0);
      expect(stdout.total_bytes).toBe(64 * MIB);
      expect(stdout.text.length).toBeLessThan(1.1 * MIB);
      expect(stdout.dropped_bytes).toBeGreaterThan(55 * MIB);
      expect(process.memoryUsage().rss - before).toBeLessThan(100 * MIB);
    },
  );
}
