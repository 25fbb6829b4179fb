import { PaddockError } from "../errors/error.ts";
import { BENCHMARK_CHAINS, type ChainName } from "../model/benchmark.ts";
import type { NodeType } from "../model/node-type.ts";

/** What the data is when nobody says: the file that the seed project names. */
export const GDP_URL = "https://raw.githubusercontent.com/datasets/gdp/master/data/gdp.csv";

export interface Step {
  readonly recipe: string;
  /** Items of `input.content`. `items` are the kinds of explicit work that the server takes. */
  content(items: readonly string[]): readonly unknown[];
}

export interface Chain {
  readonly name: ChainName;
  readonly nodeType: NodeType;
  /** One after the other in one workspace. */
  readonly steps: readonly Step[];
}

const describe = (recipe: string, description: string): Step => ({
  recipe,
  content: () => [{ type: "text", content: description }],
});

/**
 * The chosen chains in their fixed order; recipes are asked for in words, as any client would. Throws
 * `invalid_request`.
 */
export function makeChains(only: readonly string[], dataUrl: string): readonly Chain[] {
  const url = checkUrl(dataUrl);
  const stray = only.find((name) => !BENCHMARK_CHAINS.some((known) => known === name));
  if (stray !== undefined)
    throw new PaddockError("invalid_request", `there is no chain ${JSON.stringify(stray)}`, {
      hint: `Use one or more of ${BENCHMARK_CHAINS.join(", ")}.`,
    });
  return ALL(url).filter(({ name }) => only.length === 0 || only.includes(name));
}

export const downloads = (chains: readonly Chain[]): boolean =>
  chains.some(({ name }) => name === "gdp" || name === "web");

const ALL = (url: string): readonly Chain[] => [
  {
    name: "packages",
    nodeType: "python",
    steps: [
      describe("install-data-science", "Install pandas, numpy and matplotlib."),
      describe("build-dataframe", "Create a simple DataFrame with coffee shop data."),
    ],
  },
  {
    name: "gdp",
    nodeType: "python",
    steps: [
      describe(
        "download-clean-csv",
        `Download the CSV ${url} , drop rows with missing values and save the rest as clean.csv.`,
      ),
      describe(
        "average-by-group",
        "Calculate the average per country from the data in clean.csv and save it to averages.csv.",
      ),
      describe("top-by-maximum", "Find the top 5 countries by maximum value in clean.csv and save them to top5.csv."),
    ],
  },
  {
    name: "express",
    nodeType: "javascript",
    steps: [
      describe(
        "express-hello",
        "Create a Node.js project with npm init, install express, and create a simple server with a /hello route.",
      ),
      describe(
        "express-add-post",
        "Add a POST route /data to the Express server that echoes the request body with a timestamp.",
      ),
    ],
  },
  { name: "file", nodeType: "file", steps: [{ recipe: "read-text-file", content: readTextFile }] },
  { name: "web", nodeType: "web", steps: [describe("download-csv", `Download the CSV ${url} .`)] },
];

const NOTES = "One line.\nAnother line, with more words than the first.\n";

/** No recipe reads files: these are tool calls, and commands in a code block for a server that takes none. */
function readTextFile(items: readonly string[]): readonly unknown[] {
  if (!items.includes("tool_calls")) {
    const lines = ["```bash", `printf '%s' '${NOTES}' > notes.txt`, "cat notes.txt", "ls -la", "```"];
    return [{ type: "text", content: lines.join("\n") }];
  }
  const calls = [
    { tool: "write_file", input: { path: "notes.txt", content: NOTES }, title: "Write a text file" },
    { tool: "read_file", input: { path: "notes.txt" }, title: "Read it" },
    { tool: "list_files", input: {}, title: "List the workspace" },
  ];
  return [{ type: "tool_calls", content: calls }];
}

/** An address that stands in a sentence as one word. */
function checkUrl(text: string): string {
  const url = URL.parse(text);
  const isWeb = url?.protocol === "http:" || url?.protocol === "https:";
  if (
    url !== null &&
    isWeb &&
    url.username === "" &&
    url.password === "" &&
    /^[^\s<>"'`|\\^{}]+[\w/%=-]$/.test(url.href)
  )
    return url.href;
  throw new PaddockError("invalid_request", "the data's address must be a plain http or https URL of a CSV file");
}
