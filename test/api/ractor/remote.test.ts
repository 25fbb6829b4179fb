import { afterAll, beforeAll, expect, test } from "vitest";
import type { TaskResult } from "../../../src/model/result.ts";
import type { TaskRequest } from "../../../src/model/task.ts";
import { runCli } from "../../support/cli.ts";
import { testEnv } from "../../support/home.ts";
import { startService, type TestService } from "../../support/service.ts";
import { Api } from "./api.ts";

/** `paddock run --remote` against our own server: explicit work in one response, with the server's own records. */
let service: TestService;
let api: Api;

beforeAll(async () => {
  service = await startService();
  api = new Api(service.url, await service.token("u1"));
});

afterAll(async () => {
  await service[Symbol.asyncDispose]();
});

async function runBoth(
  task: TaskRequest,
): Promise<{ remote: TaskResult; local: TaskResult; codes: (number | null)[] }> {
  const run = async (args: readonly string[]) => {
    const env = { ...testEnv(), RACTOR_TOKEN: api.token };
    const { code, stdout } = await runCli(["run", "--json", ...args, "-"], { env, input: JSON.stringify(task) });
    return { code, result: JSON.parse(stdout) as TaskResult };
  };
  const [remote, local] = [await run(["--remote", service.url]), await run([])];
  return { remote: remote.result, local: local.result, codes: [remote.code, local.code] };
}

const shapeOf = (record: object): string[] =>
  Object.keys(record)
    .filter((key) => key !== "remote")
    .toSorted();

test("remote - a task runs on our server with the same result as on this machine", async () => {
  const { remote, local, codes } = await runBoth({
    node_type: "python",
    bare: true,
    files: { "data/in.csv": "n\n1\n2\n" },
    tool_calls: [
      { tool: "read_csv", input: { path: "data/in.csv" } },
      { tool: "run_command", input: { command: ["sh", "-c", "wc -l < data/in.csv; pwd > where; echo bye >&2"] } },
      { tool: "write_file", input: { path: "made/by/call", content: "x" }, title: "write one" },
    ],
  });
  expect(codes).toEqual([0, 0]);
  expect([remote.status, local.status]).toEqual(["completed", "completed"]);
  expect(shapeOf(remote)).toEqual(shapeOf(local));
  const facts = ({ tool_calls }: TaskResult) =>
    tool_calls.map((call) => ({
      ...{ operation: call.operation, category: call.category, verdict: call.verdict, success: call.success },
      ...{ code: call.return_code, stdout: call.stdout.text, stderr: call.stderr.text },
      created: call.files_created.map(({ path }) => path),
      keys: shapeOf(call),
    }));
  expect(facts(remote)).toEqual(facts(local));
  expect(remote.values.map(({ title, value }) => ({ title, value }))).toEqual(
    local.values.map(({ title, value }) => ({ title, value })),
  );
  expect(remote.tool_calls[0]?.remote).toMatchObject({ source: "server", unknown: [], not_enforced: [] });
  expect(remote.tool_calls[0]?.isolation).toMatchObject({ driver: "bubblewrap" });
  expect((await api.get("/agents")).json.total).toBe(0);
});

test("remote - a failing call fails there as here, with its exit code", async () => {
  const { remote, local, codes } = await runBoth({
    bare: true,
    code: { language: "bash", source: "echo no >&2; exit 7" },
  });
  expect(codes).toEqual([7, 7]);
  expect([remote.status, remote.exit_code, remote.tool_calls[0]?.verdict]).toEqual(["failed", 7, "nonzero"]);
  expect(shapeOf(remote)).toEqual(shapeOf(local));
  expect(remote.error?.code).toBe(local.error?.code);
  expect((await api.get("/agents")).json.total).toBe(0);
});
