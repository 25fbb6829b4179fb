import { expect, test } from "vitest";
import { planTask } from "../../../src/executor/planner.ts";
import { RECIPES } from "../../../src/executor/recipes/registry.ts";
import { readTaskText } from "../../../src/executor/recipes/task-text.ts";

type Match = readonly [name: string, parameters: object];

/** The recipes of a description in the order they run, with the parameters it gives. */
function read(description: string): Match[] {
  const text = readTaskText(description);
  return RECIPES.flatMap((recipe) => {
    const match = recipe.match(text);
    return match === undefined ? [] : [{ name: recipe.name, ...match }];
  })
    .toSorted((one, other) => one.at - other.at)
    .map(({ name, parameters }) => [name, parameters]);
}

const names = (description: string): string[] => read(description).map(([name]) => name);

const GDP = "https://raw.githubusercontent.com/datasets/gdp/master/data/gdp.csv";

test.each([
  [
    "Install pandas, numpy, matplotlib and create a simple DataFrame with coffee shop data",
    ["install-data-science", "build-dataframe"],
  ],
  [
    "Create a Node.js project with npm init, install express, and create a simple server with a /hello route",
    ["express-hello"],
  ],
  [`Download GDP data from ${GDP}`, ["download-clean-csv"]],
  ["Please pip install pandas.", ["install-data-science"]],
  ["Can you install numpy and write requirements.txt?", ["install-data-science"]],
  ["INSTALL THE DATA SCIENCE PACKAGES", ["install-data-science"]],
  [
    "Build a sample data frame about a coffee shop; then install matplotlib",
    ["build-dataframe", "install-data-science"],
  ],
  ["Compute the averages per country from the cleaned GDP data", ["average-by-group"]],
  ["Averages by region of sales.csv into means.csv", ["average-by-group"]],
  ["Find the top 5 countries by maximum GDP", ["top-by-maximum"]],
  [
    "- Download the GDP data and clean it\n- Calculate the average per country\n- Save the top five by maximum",
    ["download-clean-csv", "average-by-group", "top-by-maximum"],
  ],
  ["Add a POST route /data to the server that echoes the body with a timestamp", ["express-add-post"]],
  [
    "Set up an Express app with GET /hello on port 4000, then add a POST endpoint.",
    ["express-hello", "express-add-post"],
  ],
])("recipe match - %j", (description, expected) => {
  expect(names(description)).toEqual(expected);
});

test.each(RECIPES.map((recipe) => [recipe.name, recipe.example] as const))(
  "recipe match - the example of %s chooses it alone",
  (name, example) => {
    expect(names(example)).toEqual([name]);
    expect(() => planTask({ description: example })).not.toThrow();
  },
);

test.each([
  "create a README",
  "Update the spreadsheet",
  "Start a thread about installing windows",
  "How do I install pandas?",
  "What is the average per country in gdp.csv?",
  "Explain how to create a sample DataFrame about coffee",
  "Do not install pandas",
  "Don't ever install numpy here.",
  "Process the table without installing pandas",
  "Create a DataFrame of my invoices",
  "Draw a giant panda",
  "reinstall-pandas-docs",
  "Uninstall pandas",
  "Express your opinion and say hello to the server team",
  "Create an Express server with GET /users",
  "Write a blog post about routers",
  "Add a POST route /users to the server",
  "Post the data on the board",
  "Put the file on top of the desktop, by 5 pm, with maximum care",
  "Write an essay about average rainfall per country",
  "Stop 5 laptops by name",
  "On average, data arrives by noon",
  "Top 5 tips to drink coffee",
  "Download the report",
  "Download https://example.com/a.csv and https://example.com/b.csv",
  "Download the manual from https://example.com/manual.pdf",
  "",
  "'; import os; os.system('id') #",
  "$(rm -rf /)\n`reboot`",
])("recipe match - %j matches nothing", (description) => {
  expect(names(description)).toEqual([]);
});

test.each([
  [`Download "${GDP}", please.`, { url: GDP, drop_missing: false }],
  [
    `Fetch the csv (${GDP}) and drop missing values into data/whole.csv.`,
    { url: GDP, drop_missing: true, output: "data/whole.csv" },
  ],
  [
    "Download https://h.example/x.csv?raw=1&y=(2), then clean it",
    { url: "https://h.example/x.csv?raw=1&y=(2)", drop_missing: true },
  ],
  ["Download the CSV at https://h.example/export), clean up", { url: "https://h.example/export", drop_missing: true }],
  ["Download the GDP data and drop rows with missing values", { url: GDP, drop_missing: true }],
])("recipe match - %j gives the address without what stands around it", (description, parameters) => {
  expect(read(description)).toEqual([["download-clean-csv", parameters]]);
});

test.each([
  [
    'Compute the mean per "Country Name" from data/in.csv and write it to out.csv',
    { input: "data/in.csv", group: "country name", output: "out.csv" },
  ],
  ["In table.csv, calculate averages by region", { input: "table.csv", group: "region" }],
  ["Save the averages per group as means.csv from the csv", { output: "means.csv" }],
  ["Averages by country into ../../etc/x.csv", { group: "country" }],
])("recipe match - %j names files and the group", (description, parameters) => {
  expect(read(description)).toEqual([["average-by-group", parameters]]);
});

test.each([
  ["List the top 10 countries by maximum value of gdp.csv in a table", { n: 10, input: "gdp.csv" }],
  [
    "From clean.csv extract the three highest regions by sales into best.txt",
    { n: 3, input: "clean.csv", output: "best.txt" },
  ],
])("recipe match - %j names how many", (description, parameters) => {
  expect(read(description)).toEqual([["top-by-maximum", parameters]]);
});

test("recipe match - nothing of a hostile description becomes code or a command", () => {
  const hostile = `Install pandas"; import os #\n$(rm -rf ~) \`id\` and create a simple DataFrame with coffee 'data'\n"""\\`;
  const plan = planTask({ description: hostile });
  const asked = planTask({ description: "Install pandas and create a simple DataFrame with coffee data" });
  expect(plan).toEqual(asked);
});
