import { expect, test } from "vitest";
import { PaddockError } from "../../src/errors/error.ts";
import { planTask, type TaskPlan } from "../../src/executor/planner.ts";
import { RECIPES } from "../../src/executor/recipes/registry.ts";
import { TaskInput } from "../../src/model/task.ts";

const plan = (task: object): TaskPlan => planTask(TaskInput.parse(task));

function refusal(task: object): PaddockError {
  try {
    plan(task);
  } catch (error) {
    if (error instanceof PaddockError) return error;
    throw error;
  }
  throw new Error("the task was planned");
}

const fence = (language: string, code: string): string => `\`\`\`${language}\n${code}\n\`\`\``;

test("planner - tool calls keep their order and settings, and fence and recipe words in the description are then only text", () => {
  const planned = plan({
    description: `Install pandas. ${fence("python", "1/0")}`,
    tool_calls: [
      { tool: "write_file", input: { path: "a.txt", content: "x" }, title: "First" },
      {
        tool: "http_request",
        input: { url: "http://example.com/" },
        timeout_ms: 5000,
        attempts: 2,
        continue_on_failure: true,
      },
    ],
  });
  expect(planned).toEqual({
    source: "tool_calls",
    nodeType: "web",
    network: [],
    bare: false,
    calls: [
      { tool: "write_file", input: { path: "a.txt", content: "x" }, title: "First" },
      {
        tool: "http_request",
        input: { url: "http://example.com/" },
        timeoutMs: 5000,
        attempts: 2,
        continueOnFailure: true,
      },
    ],
  });
});

test.each([
  [[{ tool: "run_javascript", input: { code: "1" } }], "javascript"],
  [[{ tool: "install_packages", input: { manager: "npm", packages: ["express"] } }], "javascript"],
  [[{ tool: "install_packages", input: { manager: "pip", packages: ["six"] } }], "python"],
  [
    [
      { tool: "write_file", input: { path: "a", content: "" } },
      { tool: "read_file", input: { path: "a" } },
    ],
    "file",
  ],
  [
    [
      { tool: "download_file", input: { url: "http://h/x" } },
      { tool: "read_csv", input: { path: "x" } },
    ],
    "web",
  ],
  [[{ tool: "run_command", input: { command: "true" } }], "python"],
])("planner - the node type of %j is %s", (tool_calls, nodeType) => {
  expect(plan({ tool_calls }).nodeType).toBe(nodeType);
  expect(plan({ tool_calls, node_type: "file_ops" }).nodeType).toBe("file");
});

test("planner - code runs by its language, one call per piece", () => {
  const planned = plan({
    code: [
      { language: "bash", source: "echo 'a' && \"$HOME\"" },
      { language: "javascript", source: "1+1", file: "sum.js" },
    ],
  });
  expect(planned.calls).toEqual([
    { tool: "run_command", input: { command: "echo 'a' && \"$HOME\"" } },
    { tool: "run_javascript", input: { code: "1+1", file: "sum.js" } },
  ]);
  expect([planned.nodeType, planned.source]).toEqual(["javascript", "code"]);
  expect(plan({ code: { language: "bash", source: "true" } }).nodeType).toBe("python");
});

test("planner - fenced blocks run in order; other languages are not run; inline code and quotes are not blocks", () => {
  const description = [
    "Use `print(1)` or ``` in text.",
    fence("python", "print('one')"),
    fence("json", '{"not": "run"}'),
    "  ~~~~bash\n  echo two\n    ~~~\n  ~~~~",
    fence("JS title=x", "console.log('three')"),
  ].join("\n\n");
  const planned = plan({ description });
  expect(planned.source).toBe("fenced_code");
  expect(planned.calls).toEqual([
    { tool: "run_python", input: { code: "print('one')\n" } },
    { tool: "run_command", input: { command: "echo two\n  ~~~\n" } },
    { tool: "run_javascript", input: { code: "console.log('three')\n" } },
  ]);
});

test.each([
  [undefined, "run_python"],
  ["python", "run_python"],
  ["javascript", "run_javascript"],
  ["file", "run_command"],
  ["web", "run_python"],
])("planner - a block without language on node type %s becomes %s", (node_type, tool) => {
  const planned = plan({ description: fence("", "x"), ...(node_type === undefined ? {} : { node_type }) });
  expect(planned.calls.map((call) => call.tool)).toEqual([tool]);
});

test("planner - a fence without end is refused: its code may have lost its end too", () => {
  expect(refusal({ description: "Run this:\n```python\nprint(1)\n" })).toMatchObject({
    code: "invalid_request",
    message: "description: the code block that begins in line 2 has no closing ```",
  });
});

test("planner - recipes by name form a chain with the sum of their needs", () => {
  const planned = plan({
    recipes: [
      { name: "install-data-science", parameters: { packages: ["pandas==3.1.1"] } },
      { name: "build-dataframe" },
      { name: "download-clean-csv", parameters: { url: "http://data.test:8080/x.csv" } },
    ],
  });
  expect(planned).toMatchObject({
    source: "recipe",
    nodeType: "python",
    bare: true,
    network: ["pypi", "data.test:8080"],
  });
  expect(planned.calls[0]?.input).toEqual({ manager: "pip", packages: ["pandas==3.1.1"] });
  expect(plan({ recipes: [{ name: "install-data-science" }], bare: false }).bare).toBe(false);
});

test.each([
  [{ tool_calls: [{ tool: "rm_rf", input: {} }] }, 'tool_calls[0].tool: unknown tool "rm_rf"'],
  [
    {
      tool_calls: [
        { tool: "read_file", input: { path: "a" } },
        { tool: "run_command", input: { command: "x", sudo: true } },
      ],
    },
    'tool_calls[1] (run_command): Unrecognized key: "sudo"',
  ],
  [
    { tool_calls: [{ tool: "install_packages", input: { manager: "pip", packages: ["six", "-r x"] } }] },
    "tool_calls[0] (install_packages): packages[1]: must be a package name",
  ],
  [
    { recipes: [{ name: "make-coffee" }] },
    'recipes[0].name: unknown recipe "make-coffee"; one of install-data-science',
  ],
  [{ recipes: [{ name: "express-hello", parameters: { port: 80 } }] }, "recipes[0] (express-hello): port: "],
  [
    { recipes: [{ name: "top-by-maximum", parameters: { colour: 1 } }] },
    'recipes[0] (top-by-maximum): Unrecognized key: "colour"',
  ],
  [
    { recipes: [{ name: "average-by-group", parameters: { output: "../x.csv" } }] },
    "output: must be a path inside the workspace",
  ],
  [
    { recipes: [{ name: "average-by-group", parameters: { input: "a.csv", output: "a.csv" } }] },
    "output: must not be the input file",
  ],
  [
    { code: { language: "bash", source: "true" }, recipes: [{ name: "build-dataframe" }] },
    "code and recipes: give one of them, not 2",
  ],
])("planner - %j is refused before anything runs", (task, message) => {
  const error = refusal(task);
  expect(error.code).toBe("invalid_request");
  expect(error.message).toContain(message);
});

test("planner - a task that names no work says what would help", () => {
  const error = refusal({ description: "Make the world a better place" });
  expect(error.code).toBe("no_plan");
  for (const { name, example } of RECIPES) {
    expect(error.message).toContain(name);
    expect(error.message).toContain(example);
  }
  expect(refusal({}).message).toMatch(/^the task names no work/);
});
