import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { PaddockError } from "../../src/errors/error.ts";
import { openSupervised, type Supervised, TRANSPORTS } from "./supervised.ts";

const MIB = 1024 * 1024;
const codeOf = (error: unknown): string => (error instanceof PaddockError ? error.code : String(error));

describe.each(TRANSPORTS)("a sandbox over %s", (transport) => {
  let box: Supervised;

  beforeEach(async () => {
    box = await openSupervised(transport);
  });

  afterEach(async () => {
    const { breaches } = box;
    await box[Symbol.asyncDispose]();
    expect(breaches).toEqual([]);
  });

  test("sandbox - a process gets its input and gives output, both streams and its exit code", async () => {
    const argv = ["/bin/sh", "-c", "cat; echo oops >&2; exit 3"];
    const result = await box.sandbox.runProcess({ argv }, "hello");
    expect(result).toMatchObject({ ended: "exit", report: { exit_code: 3 } });
    expect([result.stdout.text, result.stderr.text]).toEqual(["hello", "oops\n"]);
  });

  test("sandbox - code gives its value", async () => {
    const result = await box.sandbox.runCode({ language: "python", code: "print('x' * 3)\n6 * 7" });
    expect(result.report).toMatchObject({ value: "42", exit_code: 0 });
    expect(result.stdout.text).toBe("xxx\n");
  });

  test("sandbox - files of many megabytes go in and out unchanged", async () => {
    const content = randomBytes(5 * MIB + 13);
    const sha256 = createHash("sha256").update(content).digest("hex");
    expect(await box.sandbox.files.write("big", content)).toMatchObject({ bytes: content.length, sha256 });
    expect((await box.sandbox.files.read("big")).equals(content)).toBe(true);
  });

  test("sandbox - a write whose content fails throws that error and gives its connection back", async () => {
    async function* breakOff() {
      yield Buffer.from("part");
      throw new Error("the source broke");
    }
    // More of them than a sandbox may have connections.
    for (let time = 0; time < 70; time++)
      await expect(box.sandbox.files.write("part", breakOff())).rejects.toThrow("the source broke");
    await expect(box.sandbox.files.importTar(".", breakOff())).rejects.toThrow("the source broke");
    await box.sandbox.files.write("part", "whole");
    expect((await box.sandbox.files.read("part")).toString()).toBe("whole");
  });

  test("sandbox - a slow reader holds the process back, and no output is lost", async () => {
    let received = 0;
    const result = await box.sandbox.runProcess({
      argv: ["/bin/sh", "-c", "head -c 20000000 /dev/zero"],
      liveBytes: null,
      onOutput: async (_stream, chunk) => {
        received += chunk.length;
        await new Promise(setImmediate);
      },
    });
    expect(result.report?.exit_code).toBe(0);
    expect(received).toBe(20_000_000);
  });

  test("sandbox - 24 calls at once each get their own answer", async () => {
    const calls = Array.from({ length: 24 }, (_, index) =>
      box.sandbox.runProcess({ argv: ["/bin/sh", "-c", `head -c 300000 /dev/zero; echo ${index} >&2`] }),
    );
    for (const [index, result] of (await Promise.all(calls)).entries()) {
      expect(result.stderr.text).toBe(`${index}\n`);
      expect(result.stdout.total_bytes).toBe(300_000);
    }
  });

  test("sandbox - a port inside is a byte stream with half-close", async () => {
    const code = [
      "import socket, sys",
      "s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True)",
      "c = s.accept()[0]; data = b''",
      "while chunk := c.recv(65536): data += chunk",
      "c.sendall(str(len(data)).encode()); c.close()",
    ].join("\n");
    const heard = Promise.withResolvers<number>();
    const server = await box.sandbox.startProcess({
      argv: ["/usr/bin/python3", "-I", "-c", code],
      onOutput: (_stream, chunk) => heard.resolve(Number(chunk.toString())),
    });
    const port = await box.sandbox.connect(await heard.promise);
    port.end(Buffer.alloc(3 * MIB));
    const chunks: Buffer[] = [];
    for await (const chunk of port) chunks.push(chunk as Buffer);
    expect(Buffer.concat(chunks).toString()).toBe(String(3 * MIB));
    expect((await server.done).report?.exit_code).toBe(0);
  });

  test("sandbox - what a process sends to its relay reaches the host as a tunnel of its call", async () => {
    const code = [
      "import os, socket",
      "host, port = os.environ['HTTP_PROXY'].removeprefix('http://').split(':')",
      "s = socket.create_connection((host, int(port))); s.sendall(b'CONNECT\\n'); print(s.recv(100).decode())",
    ].join("\n");
    const done = box.sandbox.runProcess({ argv: ["/usr/bin/python3", "-I", "-c", code] });
    while (box.relays.length === 0) await new Promise(setImmediate);
    const tunnel = box.relays[0]?.tunnel;
    if (!tunnel) throw new Error("no tunnel");
    const [line] = await once(createInterface({ input: tunnel }), "line");
    expect(line).toBe("CONNECT");
    tunnel.end("established");
    expect((await done).stdout.text).toBe("established\n");
  });

  test("sandbox - a cancel ends a call behind megabytes of input that nobody reads, and spares the sandbox", async () => {
    const running = await box.sandbox.startProcess({ argv: ["/bin/sleep", "100"], stdin: true });
    void running.write(Buffer.alloc(32 * MIB));
    const abort = new AbortController();
    const other = box.sandbox.runProcess({ argv: ["/bin/sleep", "100"], signal: abort.signal }, "x".repeat(32 * MIB));
    await new Promise(setImmediate);
    running.cancel();
    abort.abort();
    expect(await running.done).toMatchObject({ ended: "cancel", sandboxKilled: false });
    expect(await other).toMatchObject({ ended: "cancel", sandboxKilled: false });
    expect((await box.sandbox.runProcess({ argv: ["/usr/bin/true"] })).report?.exit_code).toBe(0);
  });

  test("sandbox - readers that take nothing leave a connection for pings and cancels, and the next is refused", async () => {
    await using hasty = await openSupervised(transport, { pingEveryMs: 50, silenceMs: 500, takeMs: 1000 });
    const { sandbox } = hasty;
    await sandbox.files.write("big", Buffer.alloc(4 * MIB));
    const running = await sandbox.startProcess({ argv: ["/bin/sleep", "100"] });
    const stuck = Promise.withResolvers<void>();
    const refused: string[] = [];
    const reads = Array.from({ length: 40 }, async () => {
      await sandbox.files.readTo("big", () => stuck.promise).catch((error: unknown) => refused.push(codeOf(error)));
    });
    await expect.poll(() => refused.length, { timeout: 20_000 }).toBe(11);
    expect(new Set(refused)).toEqual(new Set(["capacity"]));
    running.cancel();
    expect(await running.done).toMatchObject({ ended: "cancel", sandboxKilled: false });
    stuck.resolve();
    await Promise.all(reads);
    expect([refused.length, sandbox.end]).toEqual([11, undefined]);
    expect((await sandbox.files.read("big")).length).toBe(4 * MIB);
  });

  describe("with little patience", () => {
    let hasty: Supervised;
    beforeEach(async () => {
      hasty = await openSupervised(transport, { pingEveryMs: 20, silenceMs: 100, takeMs: 100, graceMs: 200 });
    });
    afterEach(async () => {
      await hasty[Symbol.asyncDispose]();
    });

    test("sandbox - a pause longer than any patience kills nothing, and calls begun meanwhile wait", async () => {
      const { sandbox } = hasty;
      const running = await sandbox.startProcess({ argv: ["/bin/sh", "-c", "sleep 0.2; echo on"], deadlineMs: 60_000 });
      const late = await sandbox.startProcess({ argv: ["/bin/sleep", "100"], deadlineMs: 500 });
      await sandbox.pause();
      let answered = false;
      const asked = sandbox.runProcess({ argv: ["/usr/bin/true"] }).then((result) => {
        answered = true;
        return result;
      });
      await sleep(1000);
      expect(answered).toBe(false);
      expect(sandbox.end).toBeUndefined();
      await sandbox.resume();
      expect(await asked).toMatchObject({ ended: "exit", report: { exit_code: 0 } });
      expect((await running.done).stdout.text).toBe("on\n");
      expect(await late.done).toMatchObject({ ended: "deadline" });
    });

    test("sandbox - a supervisor that stands still without a pause is lost", async () => {
      const running = await hasty.sandbox.startProcess({ argv: ["/bin/sleep", "100"] });
      await hasty.host.pause();
      expect(await running.done).toMatchObject({ ended: "lost", error: { code: "supervisor_lost" } });
    });

    test("sandbox - a supervisor that the machine holds up is not, and a call beyond its deadline has its grace", async () => {
      const { sandbox, host } = hasty;
      const running = await sandbox.startProcess({ argv: ["/bin/sleep", "100"], deadlineMs: 50 });
      host.heldUp = true;
      await host.pause();
      await sleep(300);
      await host.resume();
      host.heldUp = false;
      expect(await running.done).toMatchObject({ ended: "deadline", sandboxKilled: false });
      expect(sandbox.end).toBeUndefined();
    });

    test("sandbox - a machine that holds it up without end does not keep it for ever", async () => {
      const running = await hasty.sandbox.startProcess({ argv: ["/bin/sleep", "100"] });
      hasty.host.heldUp = true;
      await hasty.host.pause();
      expect(await running.done).toMatchObject({ ended: "lost", error: { code: "supervisor_lost" } });
    });
  });

  test("sandbox - the supervisor's sudden death ends its calls with the reason", async () => {
    const running = await box.sandbox.startProcess({ argv: ["/bin/cat", "/dev/zero"], liveBytes: null });
    await box.host.kill();
    expect(await running.done).toMatchObject({ ended: "lost" });
    await expect(box.sandbox.files.read("x")).rejects.toMatchObject({ code: "sandbox_lost" });
  });
});
