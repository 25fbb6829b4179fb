import { DATA_NAME } from "./data-server.ts";

export interface DemoTask {
  readonly title: string;
  readonly task: Record<string, unknown>;
  readonly needsRegistry: boolean;
}

/** Two chains of recipes, a file task and a web task. */
export function demoTasks(port: number): readonly DemoTask[] {
  const url = `http://${DATA_NAME}:${port}/gapminder.csv`;
  const data = `${DATA_NAME}:${port}`;
  return [
    { title: "Data science chain (python node)", task: dataScience(url, data), needsRegistry: true },
    { title: "Express chain (javascript node)", task: express(), needsRegistry: true },
    { title: "File task (file node)", task: files(), needsRegistry: false },
    { title: "Web task (web node)", task: web(url, data), needsRegistry: false },
  ];
}

function dataScience(url: string, data: string): Record<string, unknown> {
  return {
    node_type: "python",
    recipes: [
      { name: "install-data-science" },
      { name: "build-dataframe" },
      { name: "download-clean-csv", parameters: { url, path: "gapminder.csv" } },
      { name: "average-by-group", parameters: { input: "clean.csv", group: "region", value: "income" } },
      { name: "top-by-maximum", parameters: { input: "clean.csv", group: "country", value: "income", n: 5 } },
    ],
    network: ["pypi", data],
    limits: { memory_bytes: 1024 ** 3 },
  };
}

function express(): Record<string, unknown> {
  return { node_type: "javascript", recipes: [{ name: "express-hello" }, { name: "express-add-post" }] };
}

function files(): Record<string, unknown> {
  const csv = [
    "city,visitors",
    ...Array.from({ length: 200 }, (_, index) => `city ${index},${(index * 7919) % 1000}`),
  ].join("\n");
  return {
    node_type: "file",
    tool_calls: [
      { tool: "write_file", input: { path: "data/visitors.csv", content: `${csv}\n` }, title: "Write a table" },
      { tool: "read_csv", input: { path: "data/visitors.csv", limit: 5, types: true }, title: "Read its first rows" },
      {
        tool: "run_command",
        input: { command: "sort -t, -k2 -nr data/visitors.csv | head -n 20 > data/top.csv" },
        title: "Sort it",
      },
      { tool: "read_file", input: { path: "data/top.csv" }, title: "Read the result" },
      { tool: "list_files", input: { path: ".", depth: 3 }, title: "List the workspace" },
      { tool: "delete_file", input: { path: "data/visitors.csv" }, title: "Delete the table" },
    ],
  };
}

function web(url: string, data: string): Record<string, unknown> {
  return {
    node_type: "web",
    network: [data],
    tool_calls: [
      { tool: "http_request", input: { method: "HEAD", url }, title: "Ask for the data set" },
      { tool: "download_file", input: { url, path: "gapminder.csv" }, title: "Download it" },
      { tool: "read_csv", input: { path: "gapminder.csv", limit: 3, types: true }, title: "Read its first rows" },
      {
        tool: "http_request",
        input: { method: "GET", url: "http://not-allowed.example/" },
        title: "Ask a host outside the policy (denied, as it should be)",
        continue_on_failure: true,
      },
    ],
  };
}
