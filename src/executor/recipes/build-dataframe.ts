import { z } from "zod";
import { workspacePath } from "./fields.ts";
import { embedPython } from "./parameter-literals.ts";
import { defineRecipe } from "./recipe.ts";
import { findRequest } from "./task-text.ts";

const COLUMNS = ["product", "price", "sales", "category", "size"];

const ROWS = [
  ["Espresso", 2.5, 150, "Coffee", "Small"],
  ["Latte", 4.25, 210, "Coffee", "Large"],
  ["Green tea", 3.1, 90, "Tea", "Medium"],
  ["Croissant", 2.95, 120, "Pastry", "Medium"],
  ["Blueberry muffin", 3.4, 75, "Pastry", "Large"],
];

const parameters = z.strictObject({
  output: workspacePath.default("coffee_data.csv").describe("Where the table is saved."),
});

export const buildDataframe = defineRecipe<z.infer<typeof parameters>>({
  name: "build-dataframe",
  title: "Build a coffee shop DataFrame",
  description:
    "Builds a pandas DataFrame of a coffee shop (5 rows: product, price, sales, category, size), prints it, saves it as coffee_data.csv, and proves the file by reading it again.",
  example: "Create a simple DataFrame with coffee shop data",
  nodeType: "python",
  bare: false,
  parameters,
  network: () => [],
  match: (text) => {
    const verbs = "create|creates|build|builds|make|makes|generate|generates|construct|creating|building|write|save";
    const request = findRequest(text, verbs, "data ?frame|data-frame", "coffee|coffee-shop|sample|example|simple|demo");
    return request && { at: request.at, parameters: {} };
  },
  plan: ({ output }) => [
    {
      tool: "run_python",
      input: { code: embedPython({ columns: COLUMNS, rows: ROWS, output }, BUILD), file: "build_dataframe.py" },
      title: `Build the DataFrame and save ${output}`,
    },
    {
      tool: "run_python",
      input: { code: embedPython({ columns: COLUMNS, rows: ROWS, output }, CHECK), file: "check_dataframe.py" },
      title: `Check ${output}`,
    },
  ],
});

const BUILD = `import pandas as pd

frame = pd.DataFrame(PARAMETERS["rows"], columns=PARAMETERS["columns"])
frame.to_csv(PARAMETERS["output"], index=False)
print(frame.to_string(index=False))
print(f"total sales: {int(frame['sales'].sum())}, average price: {frame['price'].mean():.2f}")
`;

const CHECK = `import csv

with open(PARAMETERS["output"], encoding="utf-8", newline="") as file:
    header, *rows = csv.reader(file)
if header != PARAMETERS["columns"]:
    raise SystemExit(f"the columns are {header}, expected {PARAMETERS['columns']}")
found = [[product, float(price), int(sales), category, size] for product, price, sales, category, size in rows]
if found != PARAMETERS["rows"]:
    raise SystemExit(f"{PARAMETERS['output']} does not hold the rows that were built: {found}")
print(f"{PARAMETERS['output']}: {len(rows)} rows, {len(header)} columns, as built")
`;
