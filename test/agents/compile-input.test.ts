import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { chooseShape, readWork } from "../../src/agents/run/compile-input.ts";
import { sameShape } from "../../src/agents/sandbox/shape.ts";
import { PaddockError } from "../../src/errors/error.ts";
import { planTask } from "../../src/executor/planner.ts";
import type { AgentSettings } from "../../src/model/agent.ts";
import { TaskInput } from "../../src/model/task.ts";

const RUNS = Number(process.env["PADDOCK_PROPERTY_RUNS"] ?? 300);

const settings = (fields: Partial<AgentSettings> = {}): AgentSettings => ({
  nodeType: "python",
  network: undefined,
  bare: undefined,
  limits: {},
  env: {},
  setup: undefined,
  instructions: undefined,
  ...fields,
});

const items = (...content: unknown[]): unknown => ({ content });
const text = (content: unknown): unknown => ({ type: "text", content });

/** The calls that an input is read as: tool, and the code or command. */
function readCalls(input: unknown, fields: Partial<AgentSettings> = {}): unknown[] {
  return readWork(input, settings(fields)).plan.calls.map(({ tool, input: given }) => {
    const { code, command, ...rest } = given as Record<string, unknown>;
    return [tool, code ?? command ?? rest];
  });
}

function errorOf(input: unknown, fields: Partial<AgentSettings> = {}): { code: string; message: string; hint: string } {
  try {
    readWork(input, settings(fields));
  } catch (error) {
    if (error instanceof PaddockError) return { code: error.code, message: error.message, hint: error.hint };
    throw error;
  }
  throw new Error("it was read");
}

const PY = "```python\nprint(1)\n```";
const call = { tool: "write_file", input: { path: "a", content: "x" } };

describe("work - what an input is read as", () => {
  test.each<[string, unknown, unknown[]]>([
    ["a fenced block", items(text(PY)), [["run_python", "print(1)\n"]]],
    ["`text` in any case", items({ type: "TEXT", content: PY }), [["run_python", "print(1)\n"]]],
    [
      "all fenced blocks, in order",
      items(text(`${PY}\nthen\n\`\`\`sh\nls\n\`\`\``)),
      [
        ["run_python", "print(1)\n"],
        ["run_command", "ls\n"],
      ],
    ],
    ["several texts as one description", items(text("first"), text(PY), text("last")), [["run_python", "print(1)\n"]]],
    ["python", items({ type: "python", content: "1+1" }), [["run_python", "1+1"]]],
    ["javascript", items({ type: "JavaScript", content: "1+1" }), [["run_javascript", "1+1"]]],
    ["bash", items({ type: "bash", content: "ls" }), [["run_command", "ls"]]],
    ["tool calls", items({ type: "tool_calls", key: "k 1", content: [call] }), [["write_file", call.input]]],
    [
      "explicit items in their order, over texts",
      items(
        text(PY),
        { type: "bash", content: "ls" },
        { type: "tool_calls", content: [call] },
        { type: "python", content: "2" },
      ),
      [
        ["run_command", "ls"],
        ["write_file", call.input],
        ["run_python", "2"],
      ],
    ],
    ["the older object", { text: PY }, [["run_python", "print(1)\n"]]],
    ["a bare string", PY, [["run_python", "print(1)\n"]]],
    ["content over the older text", { text: PY, content: [{ type: "bash", content: "ls" }] }, [["run_command", "ls"]]],
  ])("%s", (_name, input, calls) => expect(readCalls(input)).toEqual(calls));

  test("a block without language runs in the node type's own", () => {
    const input = items(text("```\nx\n```"));
    expect(readCalls(input)).toEqual([["run_python", "x\n"]]);
    expect(readCalls(input, { nodeType: "javascript" })).toEqual([["run_javascript", "x\n"]]);
    expect(readCalls(input, { nodeType: "file" })).toEqual([["run_command", "x\n"]]);
  });

  test("a recipe that the text matches; its network and bareness are the plan's", () => {
    const { plan } = readWork(items(text("Install pandas, numpy and matplotlib")), settings());
    expect(plan).toMatchObject({ source: "recipe", network: ["pypi"], bare: true, nodeType: "python" });
  });

  test("a recipe item, nested or flat, also beside code", () => {
    const nested = { type: "recipe", content: { name: "build-dataframe" } };
    const flat = { type: "recipe", name: "build-dataframe", parameters: {} };
    expect(readCalls(items(nested))).toEqual(readCalls(items(flat)));
    const both = readWork(items({ type: "bash", content: "ls" }, nested), settings());
    expect(both.plan.calls.length).toBe(readCalls(items(nested)).length + 1);
  });

  test("file and title of an item", () => {
    const { plan } = readWork(items({ type: "python", content: "1", file: "a.py", title: "Add" }), settings());
    expect(plan.calls).toEqual([{ tool: "run_python", input: { code: "1", file: "a.py" }, title: "Add" }]);
  });

  test("options of tool calls", () => {
    const full = { ...call, title: "t", timeout_ms: 5, attempts: 2, continue_on_failure: true };
    const { plan } = readWork(items({ type: "tool_calls", content: [full] }), settings());
    expect(plan.calls[0]).toMatchObject({ title: "t", timeoutMs: 5, attempts: 2, continueOnFailure: true });
  });

  test("what is not run is noted", () => {
    const input = items({ type: "image", url: "x" }, 7, null, text(3), { type: "python", content: "1" });
    const { notes, plan } = readWork(input, settings());
    expect(plan.calls).toHaveLength(1);
    expect(notes.map((note) => note.slice(0, 16))).toEqual([
      "input.content[0]",
      "input.content[1]",
      "input.content[2]",
      "input.content[3]",
    ]);
    expect(notes[0]).toContain('"image"');
    const many = readWork(items(...Array.from({ length: 50 }, () => 1), { type: "bash", content: "ls" }), settings());
    expect(many.notes).toHaveLength(11);
  });

  test("the plan is what the executor would make of the task", () => {
    const input = items(
      { type: "bash", content: "ls" },
      { type: "tool_calls", content: [call] },
      { type: "python", content: "2" },
    );
    for (const one of [input, items(text(PY)), items({ type: "recipe", name: "build-dataframe" })]) {
      const { task, plan } = readWork(one, settings());
      expect(planTask(TaskInput.parse(task)).calls).toEqual(plan.calls);
    }
  });
});

describe("work - what is refused", () => {
  test.each<[string, unknown, string, RegExp]>([
    ["nothing", {}, "no_plan", /nothing to run/],
    ["null", null, "no_plan", /nothing to run/],
    ["an array", [text(PY)], "no_plan", /nothing to run/],
    ["no items", items(), "no_plan", /nothing to run/],
    ["blank texts", items(text("  "), text("\n")), "no_plan", /nothing to run/],
    ["only unknown items", items({ type: "image" }), "no_plan", /nothing to run/],
    ["a text that nothing knows", items(text("please think")), "no_plan", /no recipe/],
    [
      "a fence that is not closed",
      items(text("```python\nprint(1)")),
      "invalid_request",
      /^input\.content \(text\): description: .*no closing/,
    ],
    [
      "code that is no text",
      items({ type: "python", content: 1 }),
      "invalid_request",
      /^input\.content\[0\] \(python\): content: /,
    ],
    [
      "an unknown field",
      items({ type: "bash", content: "ls", cwd: "/" }),
      "invalid_request",
      /^input\.content\[0\] \(bash\): .*cwd/,
    ],
    [
      "an unknown tool",
      items(text("x"), { type: "tool_calls", content: [{ tool: "rm", input: {} }] }),
      "invalid_request",
      /^input\.content\[1\] \(tool_calls\): tool_calls\[0\]\.tool: unknown tool "rm"/,
    ],
    ["no calls", items({ type: "tool_calls", content: [] }), "invalid_request", /content/],
    [
      "a field of a call's input",
      items({ type: "tool_calls", content: [{ tool: "write_file", input: { path: 1 } }] }),
      "invalid_request",
      /write_file.*path/,
    ],
    [
      "an unknown recipe",
      items({ type: "recipe", name: "nope" }),
      "invalid_request",
      /^input\.content\[0\] \(recipe\): .*unknown recipe/,
    ],
    [
      "more than 1,000 items",
      items(...Array.from({ length: 1001 }, () => text("x"))),
      "invalid_request",
      /^input\.content: /,
    ],
    [
      "more than 1,000 calls",
      items(
        ...Array.from({ length: 2 }, () => ({ type: "tool_calls", content: Array.from({ length: 600 }, () => call) })),
      ),
      "invalid_request",
      /1200 calls/,
    ],
    [
      "a text of more than 256 KiB",
      items(text("x".repeat(256 * 1024 + 1))),
      "invalid_request",
      /^input\.content \(text\)/,
    ],
    [
      "a misspelled type",
      items({ type: "pyhton", content: "1" }),
      "no_plan",
      /nothing to run; input\.content\[0\] is of type "pyhton".*known: text, python, javascript, bash, tool_calls, recipe/,
    ],
    [
      "a misspelled type beside a text",
      items(text("please think"), { type: "pyhton", content: "1" }),
      "no_plan",
      /^input\.content\[1\] is of type "pyhton".*known: text, python.*not used; .*no recipe/,
    ],
    [
      "an unknown tool, with those there are",
      items({ type: "tool_calls", content: [{ tool: "rm", input: {} }] }),
      "invalid_request",
      /unknown tool "rm"; one of .*delete_file.*run_command/,
    ],
  ])("%s", (_name, input, code, message) => {
    const error = errorOf(input);
    if (code === "invalid_request") expect(error.hint).toContain("docs/responses.md");
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
  });
});

describe("work - settings of the agent", () => {
  test("limits, environment, network and bareness are the agent's; a time limit of its own reaches the calls", () => {
    const agent = settings({ limits: { memory_bytes: 2 ** 26 }, env: { A: "1" }, network: "pypi", bare: true });
    const { task } = readWork(items(text(PY)), agent, 90_000);
    expect(task).toMatchObject({
      env: { A: "1" },
      network: "pypi",
      bare: true,
      node_type: "python",
      limits: { memory_bytes: 2 ** 26, task_timeout_ms: 90_000, call_timeout_ms: 90_000 },
    });
    const own = readWork(items(text(PY)), settings({ limits: { call_timeout_ms: 5 } }), 90_000);
    expect(own.task.limits).toEqual({ task_timeout_ms: 90_000, call_timeout_ms: 5 });
    expect(readWork(items(text(PY)), settings()).task.limits).toEqual({});
  });

  test("shape: the agent's own policy, else the plan's, else none", () => {
    const install = items(text("Install pandas, numpy and matplotlib"));
    const shape = (input: unknown, fields: Partial<AgentSettings> = {}) => {
      const own = settings(fields);
      return chooseShape({ settings: own }, readWork(input, own));
    };
    expect(shape(items(text(PY)))).toMatchObject({ network: "none", bare: false, nodeType: "python" });
    expect(shape(install)).toMatchObject({ network: ["pypi"], bare: true });
    expect(shape(install, { network: "none", bare: false })).toMatchObject({ network: "none", bare: false });
    expect(sameShape(shape(install), shape(items(text(PY))))).toBe(false);
    expect(sameShape(shape(items(text(PY))), shape(items({ type: "bash", content: "ls" })))).toBe(true);
    const long = settings();
    expect(
      sameShape(chooseShape({ settings: long }, readWork(items(text(PY)), long, 1000)), shape(items(text(PY)))),
    ).toBe(true);
    const base = shape(items(text(PY)));
    expect(sameShape({ ...base, network: "npm, pypi" }, { ...base, network: ["pypi", "npm", "pypi"] })).toBe(true);
    expect(sameShape({ ...base, limits: { ...base.limits, pids: 9 } }, base)).toBe(false);
  });
});

describe("work - hostile inputs", () => {
  const reserved = fc.constantFrom("__proto__", "constructor", "type", "content", "text", "toString");
  const words = fc.constantFrom("text", "python", "tool_calls", "recipe", "bash", "TEXT", "hasOwnProperty");
  const tree = fc.letrec((tie) => ({
    node: fc.oneof({ depthSize: "small" }, fc.jsonValue(), words, fc.array(tie("node")), tie("object")),
    object: fc.dictionary(fc.oneof(reserved, fc.string()), tie("node")),
  })).node;

  test("any JSON is read, or refused with a code", () => {
    const inputs = fc.oneof(
      tree,
      fc.array(tree).map((content) => ({ content })),
    );
    fc.assert(
      fc.property(inputs, (input) => {
        try {
          expect(readWork(input, settings()).plan.calls.length).toBeGreaterThan(0);
        } catch (error) {
          if (!(error instanceof PaddockError)) throw error;
          expect(["invalid_request", "no_plan"]).toContain(error.code);
        }
      }),
      { numRuns: RUNS },
    );
  });

  test("a text is run as code only between fences", () => {
    const line = fc.oneof(
      fc.string(),
      fc.constantFrom("import os", "```", "~~~", "```python", "$(id)", "`id`", "    x = 1", "</code>"),
    );
    fc.assert(
      fc.property(fc.array(fc.array(line).map((lines) => lines.join("\n"))), (texts) => {
        let calls: readonly { readonly input: unknown }[];
        try {
          calls = readWork(items(...texts.map(text)), settings()).plan.calls;
        } catch (error) {
          if (error instanceof PaddockError) return;
          throw error;
        }
        const whole = texts.join("\n\n").split(/\r?\n/);
        const fences = whole.flatMap((one, index) => (/^ {0,3}(`{3}|~{3})/.test(one) ? [index] : []));
        expect(fences.length).toBeGreaterThanOrEqual(2);
        const inside = whole.slice((fences[0] ?? 0) + 1, fences.at(-1)).join("\n");
        for (const { input } of calls) {
          const { code, command } = input as { code?: string; command?: string };
          for (const part of (code ?? command ?? "").trimEnd().split("\n")) expect(inside).toContain(part.trimStart());
        }
      }),
      { numRuns: RUNS },
    );
  });
});
