import { z } from "zod";
import { LOAD_TABLE, READ_AGAIN } from "./columns.ts";
import { columnName, workspacePath } from "./fields.ts";
import { embedPython } from "./parameter-literals.ts";
import { defineRecipe, dropUndefined } from "./recipe.ts";
import { findFile, findGroup, findTableRequest } from "./task-text.ts";

const parameters = z
  .strictObject({
    input: workspacePath.default("clean.csv").describe("CSV file to read."),
    group: columnName.optional().describe("Column to group by. Default: the first text column with repeated values."),
    value: columnName
      .optional()
      .describe("Numeric column to average. Default: one named like a measure, else the last numeric one."),
    output: workspacePath.default("averages.csv").describe("Where the averages are saved."),
  })
  .refine(({ input, output }) => input !== output, { path: ["output"], error: "must not be the input file" });

export const averageByGroup = defineRecipe<z.infer<typeof parameters>>({
  name: "average-by-group",
  title: "Averages per group",
  description:
    "Averages a numeric column of a CSV per group, saves group, average and number of rows as averages.csv, and proves every average by computing it again without pandas.",
  example: "Calculate the average per country from clean.csv and save it to averages.csv",
  nodeType: "python",
  bare: false,
  parameters,
  network: () => [],
  match: (text) => {
    const request = findTableRequest(
      text,
      "average|averages|mean|means|averaging",
      "per|by|for each|each|every|grouped|group",
    );
    if (request === undefined) return undefined;
    const input = findFile(request.sentence, "in|from|of|on|using|read|reading|load");
    const output = findFile(request.after, "to|into|as");
    const group = findGroup(request.after);
    return { at: request.at, parameters: dropUndefined({ input, output, group }) };
  },
  plan: (given) => {
    const facts = { input: given.input, output: given.output, group: given.group ?? null, value: given.value ?? null };
    return [
      {
        tool: "run_python",
        input: { code: embedPython(facts, `${LOAD_TABLE}${AVERAGE}`), file: "average_by_group.py" },
        title: `Average per group into ${given.output}`,
      },
      {
        tool: "run_python",
        input: { code: embedPython(facts, `${READ_AGAIN}${CHECK}`), file: "check_averages.py" },
        title: `Check ${given.output}`,
      },
    ];
  },
});

const AVERAGE = `
averages = table.groupby("group")["value"].agg(["mean", "size"]).reset_index().sort_values("group")
averages.columns = [group, f"average_{value}", "rows"]
averages.to_csv(PARAMETERS["output"], index=False)
print(f"average of {value!r} per {group!r}: {len(averages)} groups from {len(table)} rows, saved as {PARAMETERS['output']}")
print(averages.head(10).to_string(index=False))
`;

const CHECK = `
if {row[group] for row in result} != set(groups) or len(result) != len(groups):
    stop(f"{PARAMETERS['output']} has {len(result)} groups, {PARAMETERS['input']} has {len(groups)}")
for row in result:
    members = groups[row[group]]
    average = math.fsum(members) / len(members)
    if int(row["rows"]) != len(members) or not math.isclose(float(row[measure]), average, rel_tol=1e-9, abs_tol=1e-12):
        stop(f"{row[group]}: {PARAMETERS['output']} says {row[measure]} from {row['rows']} rows, computed again it is {average} from {len(members)}")
print(f"{PARAMETERS['output']}: {len(result)} averages over {sum(map(len, groups.values()))} rows, each computed again")
`;
