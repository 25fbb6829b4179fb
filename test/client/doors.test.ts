import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { createPaddock } from "../../src/index.ts";
import type { TaskResult } from "../../src/model/result.ts";
import { CliProcess, runCli } from "../support/cli.ts";
import { testEnv } from "../support/home.ts";
import { StockServer } from "./stock-server.ts";

const env = (more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv => ({
  ...testEnv(),
  RACTOR_TOKEN: "good-token",
  ...more,
});

test("client cli - run --remote shows output, passes the exit code on and leaves no agent", async () => {
  await using server = await StockServer.start();
  const args = ["run", "--remote", server.url, "--bare", "-t", "file", "-c", "echo out; echo err >&2; exit 7"];
  const { code, stdout, stderr } = await runCli(args, { env: env() });
  expect([code, stdout]).toEqual([7, "out\n"]);
  expect(stderr).toContain("err\n");
  expect(stderr).toMatch(/1 tool call/);
  expect(server.agents.size).toBe(0);
});

test("client cli - --json prints the one result, without the token", async () => {
  await using server = await StockServer.start();
  const args = ["run", "--json", "--remote", server.url, "--bare", "-t", "python", "-c", "print(6 * 7)"];
  const { code, stdout, stderr } = await runCli(args, { env: env() });
  const result = JSON.parse(stdout) as TaskResult;
  expect([code, result.status, result.tool_calls[0]?.stdout.text]).toEqual([0, "completed", "42\n"]);
  expect(result.tool_calls[0]?.remote?.source).toBe("runner");
  expect(stdout + stderr).not.toContain("good-token");
});

test("client cli - an operator's password comes from standard input or the environment", async () => {
  await using server = await StockServer.start();
  const args = ["run", "-q", "--remote", server.url, "--operator", "admin", "--bare", "-t", "file", "-c", "echo in"];
  const unset = { RACTOR_TOKEN: "" };
  expect(await runCli(args, { env: env(unset), input: "secret-pass\n" })).toMatchObject({ code: 0, stdout: "in\n" });
  expect(await runCli(args, { env: env({ ...unset, RACTOR_PASSWORD: "secret-pass" }) })).toMatchObject({ code: 0 });
  const wrong = await runCli(args, { env: env({ ...unset, RACTOR_PASSWORD: "wrong-pass" }) });
  expect(wrong.code).not.toBe(0);
  expect(wrong.stderr).not.toContain("wrong-pass");
  expect((await runCli(args, { env: env(unset) })).code).toBe(64);
});

test.each([["--keep"], ["--workspace", "."], ["--upload"], ["--driver", "bubblewrap"]])(
  "client cli - %s does not go with --remote",
  async (...option) => {
    const { code, stderr } = await runCli(["run", "--remote", "http://127.0.0.1:1", ...option, "--bare", "-c", "1"], {
      env: env(),
    });
    expect([code, stderr.includes("does not go with --remote")]).toEqual([69, true]);
  },
);

test("client cli - a server that is not there ends with the code of remote_unavailable", async () => {
  const { code, stderr } = await runCli(["run", "--remote", "http://127.0.0.1:1", "--bare", "-c", "1"], { env: env() });
  expect([code, stderr.includes("remote_unavailable")]).toEqual([69, true]);
});

test("client cli - Ctrl-C cancels on the server and deletes the agent", async () => {
  await using server = await StockServer.start({ stuck: true });
  const cli = new CliProcess(["run", "--remote", server.url, "--bare", "-t", "file", "-c", "sleep 60"], { env: env() });
  await expect.poll(() => server.count("POST", /responses$/), { timeout: 15_000 }).toBe(1);
  cli.child.kill("SIGINT");
  expect((await cli.exited).code).toBe(130);
  expect(server.count("POST", /cancel$/)).toBeGreaterThan(0);
  expect(server.agents.size).toBe(0);
});

test("client library - run takes a remote, refuses a store with it, and passes on what onEvent throws", async () => {
  await using server = await StockServer.start();
  await using paddock = await createPaddock({ env: testEnv() });
  const task = { bare: true, node_type: "file", code: { language: "bash" as const, source: "echo hi" } };
  const remote = { url: server.url, token: "good-token" };
  expect((await paddock.run(task, { remote })).tool_calls[0]).toMatchObject({
    stdout: { text: "hi\n" },
    isolation: { driver: "ractor" },
  });
  await expect(paddock.run(task, { remote, store: {} })).rejects.toMatchObject({ code: "unsupported" });
  const mistake = new Error("mine");
  const throwing = paddock.run(task, {
    remote,
    onEvent: (event) => {
      if (event.type === "sandbox_ready") throw mistake;
    },
  });
  await expect(throwing).rejects.toBe(mistake);
  expect(server.agents.size).toBe(0);
});

test("client docs - docs/remote.md names every option of the command and every source of a record", () => {
  const page = readFileSync(new URL("../../docs/remote.md", import.meta.url), "utf8");
  for (const word of [
    "--remote",
    "--token",
    "--operator",
    "--setup-timeout",
    "`runner`",
    "`segments`",
    "`files`",
    "`server`",
    "`none`",
  ])
    expect(page).toContain(word);
});
