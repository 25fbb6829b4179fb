import { z } from "zod";
import { LOAD_TABLE, READ_AGAIN } from "./columns.ts";
import { columnName, workspacePath } from "./fields.ts";
import { embedPython } from "./parameter-literals.ts";
import { defineRecipe, dropUndefined, type RecipeMatch } from "./recipe.ts";
import { findFile, findTableRequest, type TaskText } from "./task-text.ts";

const parameters = z
  .strictObject({
    input: workspacePath.default("clean.csv").describe("CSV file to read."),
    group: columnName.optional().describe("Column to group by. Default: the first text column with repeated values."),
    value: columnName
      .optional()
      .describe("Numeric column. Default: one named like a measure, else the last numeric one."),
    n: z.int().min(1).max(10_000).default(5).describe("How many groups."),
    output: workspacePath.optional().describe("Where they are saved. Default: `top5.csv` for `n` 5."),
  })
  .refine(({ input, output }) => input !== output, { path: ["output"], error: "must not be the input file" });

const NUMBERS: Readonly<Record<string, number>> = { three: 3, five: 5, ten: 10, twenty: 20 };
const TOP =
  /(?<![\w-])(?:top|highest|largest)[\s-]+(\d{1,4}|three|five|ten|twenty)(?![\w-])|(?<![\w-])(\d{1,4}|three|five|ten|twenty)\s+(?:highest|largest|biggest)(?![\w-])/;

export const topByMaximum = defineRecipe<z.infer<typeof parameters>>({
  name: "top-by-maximum",
  title: "Top groups by maximum",
  description:
    "Finds the groups of a CSV with the highest maximum of a numeric column, saves them in order as top5.csv, and proves the list by computing it again without pandas.",
  example: "Find the top 5 countries by maximum value in clean.csv",
  nodeType: "python",
  bare: false,
  parameters,
  network: () => [],
  match,
  plan: (given) => {
    const output = given.output ?? `top${given.n}.csv`;
    const facts = { input: given.input, output, group: given.group ?? null, value: given.value ?? null, n: given.n };
    return [
      {
        tool: "run_python",
        input: { code: embedPython(facts, `${LOAD_TABLE}${TOP_GROUPS}`), file: "top_by_maximum.py" },
        title: `Find the top ${given.n} into ${output}`,
      },
      {
        tool: "run_python",
        input: { code: embedPython(facts, `${READ_AGAIN}${CHECK}`), file: "check_top.py" },
        title: `Check ${output}`,
      },
    ];
  },
});

function match(text: TaskText): RecipeMatch | undefined {
  const request = findTableRequest(
    text,
    "top|highest|largest|biggest",
    "by|per|max|maximum|maxima|peak|highest|largest|biggest|gdp",
  );
  const top = request && TOP.exec(request.sentence);
  if (request === undefined || !top) return undefined;
  const word = top[1] ?? top[2] ?? "";
  const input = findFile(request.sentence, "in|from|of|on|using|read|reading|load");
  const output = findFile(request.after, "to|into|as");
  return { at: request.at, parameters: dropUndefined({ n: NUMBERS[word] ?? Number(word), input, output }) };
}

const TOP_GROUPS = `
tops = table.groupby("group")["value"].max().reset_index().sort_values(["value", "group"], ascending=[False, True]).head(PARAMETERS["n"])
tops.columns = [group, f"maximum_{value}"]
tops.to_csv(PARAMETERS["output"], index=False)
print(f"top {len(tops)} of {table['group'].nunique()} by maximum {value!r} per {group!r}, saved as {PARAMETERS['output']}")
print(tops.to_string(index=False))
`;

const CHECK = `
maxima = sorted(((name, max(members)) for name, members in groups.items()), key=lambda pair: (-pair[1], pair[0]))
expected = maxima[: PARAMETERS["n"]]
found = [(row[group], float(row[measure])) for row in result]
if [name for name, _ in found] != [name for name, _ in expected]:
    stop(f"{PARAMETERS['output']} lists {[name for name, _ in found]}, computed again it is {[name for name, _ in expected]}")
for (name, listed), (_, maximum) in zip(found, expected, strict=True):
    if not math.isclose(listed, maximum, rel_tol=1e-12):
        stop(f"{name}: {PARAMETERS['output']} says {listed}, computed again it is {maximum}")
print(f"{PARAMETERS['output']}: {len(found)} of {len(groups)} groups, computed again")
`;
