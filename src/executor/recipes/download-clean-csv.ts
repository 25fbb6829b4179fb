import { z } from "zod";
import { nameFromUrl } from "../../tools/download-file.ts";
import { httpUrl } from "../../tools/http-fields.ts";
import { columnName, workspacePath } from "./fields.ts";
import { embedPython } from "./parameter-literals.ts";
import { defineRecipe, dropUndefined, type RecipeMatch } from "./recipe.ts";
import { findFile, findRequest, type TaskText } from "./task-text.ts";

/** What `gdp` means in the benchmark's own tasks. */
const GDP_URL = "https://raw.githubusercontent.com/datasets/gdp/master/data/gdp.csv";
/** Cells that count as missing. `NA` does not: it is the code of Namibia. */
const MISSING = ["", "NaN", "nan", "null", "NULL", "N/A", "n/a", "#N/A"];

const parameters = z.strictObject({
  url: httpUrl.describe("CSV file to download."),
  path: workspacePath.optional().describe("Where the download is saved. Default: the last part of the URL."),
  drop_missing: z
    .boolean()
    .default(true)
    .describe("Write the rows without missing values to `output`; false only downloads and checks."),
  required: z
    .array(columnName)
    .min(1)
    .max(1000)
    .optional()
    .describe("Only these columns may not be missing. Default: all."),
  output: workspacePath.default("clean.csv").describe("Where the cleaned table is saved."),
});

type Parameters = z.infer<typeof parameters>;

export const downloadCleanCsv = defineRecipe<Parameters>({
  name: "download-clean-csv",
  title: "Download and clean a CSV",
  description:
    "Downloads a CSV file, drops the rows with missing values, saves the rest as clean.csv, and proves it by counting both files again. Without cleaning it downloads and checks that the file is a CSV.",
  example: "Download https://example.com/data.csv, drop rows with missing values and save it as clean.csv",
  nodeType: "python",
  bare: false,
  parameters,
  network: ({ url }) => [hostEntry(url)],
  match,
  plan: (given) => {
    const path = given.path ?? nameFromUrl(given.url);
    const download = {
      tool: "download_file",
      input: { url: given.url, path },
      title: `Download ${path}`,
      timeoutMs: 120_000,
    };
    if (!given.drop_missing)
      return [download, { tool: "read_csv", input: { path, limit: 5 }, title: `Check that ${path} is a CSV` }];
    const facts = { path, output: given.output, required: given.required ?? null, missing: MISSING };
    return [
      download,
      {
        tool: "run_python",
        input: { code: embedPython(facts, CLEAN), file: "clean_csv.py" },
        title: `Drop missing values into ${given.output}`,
      },
      {
        tool: "run_python",
        input: { code: embedPython(facts, CHECK), file: "check_clean_csv.py" },
        title: `Check ${given.output}`,
      },
    ];
  },
});

function match(text: TaskText): RecipeMatch | undefined {
  const request = findRequest(text, "download|downloads|downloading|fetch|get|retrieve");
  const url = chooseUrl(text, request?.sentence);
  if (request === undefined || url === undefined) return undefined;
  const cleaning = findRequest(
    text,
    "clean|cleans|cleaning|cleaned|drop|drops|dropping|dropna|remove|removing|discard|filter out",
  );
  const output = cleaning && findFile(cleaning.after, "to|into|as|in");
  return { at: request.at, parameters: dropUndefined({ url, drop_missing: cleaning !== undefined, output }) };
}

/** The one CSV address of the description; the GDP data set when it is only named; nothing when that is unsure. */
function chooseUrl(text: TaskText, request: string | undefined): string | undefined {
  const valid = text.urls.filter((url) => httpUrl.safeParse(url).success);
  const files = valid.filter((url) => new URL(url).pathname.toLowerCase().endsWith(".csv"));
  if (files.length === 1) return files[0];
  if (valid.length === 1 && /(?<![\w-])csv(?![\w-])/.test(text.lower)) return valid[0];
  return valid.length === 0 && request !== undefined && /(?<![\w-])gdp(?![\w-])/.test(request) ? GDP_URL : undefined;
}

function hostEntry(text: string): string {
  const url = new URL(text);
  return `${url.hostname}:${url.port || (url.protocol === "https:" ? 443 : 80)}`;
}

const CLEAN = String.raw`import sys

import pandas as pd

path, output, required = PARAMETERS["path"], PARAMETERS["output"], PARAMETERS["required"]
with open(path, "rb") as file:
    if file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<", b"{")):
        raise SystemExit(f"{path} is not a CSV file: it begins like HTML, XML or JSON")

frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
unknown = [name for name in required or [] if name not in frame.columns]
if unknown:
    raise SystemExit(f"no column {unknown}; {path} has {list(frame.columns)}")

def is_missing(column):
    return column.isna() | column.str.strip().isin(PARAMETERS["missing"])

missing = frame[required or list(frame.columns)].apply(is_missing)
clean = frame[~missing.any(axis=1)]
if clean.empty:
    raise SystemExit(f"every row of {path} has a missing value; name the columns that matter in required. Missing per column:\n{missing.sum().to_string()}")
clean.to_csv(output, index=False)
print(f"{path}: {len(frame)} rows, {len(frame.columns)} columns {list(frame.columns)}")
print(f"{output}: {len(clean)} rows, {len(frame) - len(clean)} dropped")
`;

const CHECK = `import csv

def read(path):
    with open(path, encoding="utf-8-sig", newline="") as file:
        header, *rows = [row for row in csv.reader(file) if row]
    return header, rows

def is_whole(row):
    return all(len(row) > place and row[place].strip() not in missing for place in places)

missing = set(PARAMETERS["missing"])
header, rows = read(PARAMETERS["path"])
clean_header, clean_rows = read(PARAMETERS["output"])
if clean_header != header:
    raise SystemExit(f"{PARAMETERS['output']} has the columns {clean_header}, expected {header}")
places = [header.index(name) for name in PARAMETERS["required"] or header]
whole = [row for row in rows if is_whole(row)]
if len(clean_rows) != len(whole):
    raise SystemExit(f"{PARAMETERS['output']} has {len(clean_rows)} rows, but {len(whole)} rows of {PARAMETERS['path']} miss nothing")
if not all(is_whole(row) for row in clean_rows):
    raise SystemExit(f"{PARAMETERS['output']} still has missing values")
print(f"{PARAMETERS['output']}: {len(clean_rows)} of {len(rows)} rows, none with a missing value")
`;
