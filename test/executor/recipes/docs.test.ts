import { expect, test } from "vitest";
import { planTask } from "../../../src/executor/planner.ts";
import { RECIPES } from "../../../src/executor/recipes/registry.ts";
import { renderFields } from "../../tools/schema-table.ts";

const INTRO = `# Recipes

A recipe is a reviewed program with parameters. A task names recipes as \`{"recipes": [{"name": NAME, "parameters": {...}}]}\`, several run as a
chain over one workspace; or its description asks for them, in any order and wording that the rules below recognise:

- Words are matched whole (\`README\` is not \`read\`, \`spreadsheet\` is not \`read\`, \`desktop\` is not \`top\`), and what belongs together must stand in one sentence or list item.
- Questions, requests to explain, and what is negated (\`do not install pandas\`) match nothing.
- A description may match several recipes; they run in the order in which they are mentioned.
- A description may give a web address, a file name, a port, a count and a column. These reach the program as data: no text of a description becomes code or part of a command.
- When no rule is sure, the task fails with \`no_plan\` and this list. Fenced code blocks in a description come before recipes.

A recipe that installs with pip starts from the bare node, because pip reports nothing for what a template already has. The policy under *Network* is
used unless the task names its own. The last steps of each recipe prove its result; when they fail, the task fails.

This page is derived from \`src/executor/recipes/registry.ts\`: after a change run \`npx vitest run test/executor/recipes/docs.test.ts -u\`.
`;

/** What a recipe cannot do without. */
const NEEDED: Readonly<Record<string, object>> = { "download-clean-csv": { url: "https://example.com/data.csv" } };

test("docs - docs/recipes.md is what the registry says", async () => {
  const sections = RECIPES.map(({ name, description, example, parameters }) => {
    const plan = planTask({ recipes: [{ name, parameters: { ...NEEDED[name] } }] });
    const network = plan.network.length === 0 ? "none" : plan.network.join(", ");
    return [
      `## ${name}`,
      "",
      description,
      "",
      `Node type \`${plan.nodeType}\`${plan.bare ? ", bare" : ""}. Network: \`${network}\`${name in NEEDED ? " (the address's host)" : ""}. For example: *${example}*`,
      "",
      renderFields(parameters),
      "",
      ...plan.calls.map((call, index) => `${index + 1}. ${call.title} (\`${call.tool}\`)`),
      "",
    ].join("\n");
  });
  await expect([INTRO, ...sections].join("\n")).toMatchFileSnapshot("../../../docs/recipes.md");
});
