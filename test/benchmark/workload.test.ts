import { expect, test } from "vitest";
import { GDP_URL, makeChains } from "../../src/benchmark/workload.ts";
import { planTask } from "../../src/executor/planner.ts";
import { RECIPES } from "../../src/executor/recipes/registry.ts";
import { TaskInput } from "../../src/model/task.ts";

const URLS = [GDP_URL, "http://data.paddock.test:40123/gdp.csv", "https://h.example/a-b/c_d.csv?x=1&y=%20"];
const TAKES_CALLS = ["text", "tool_calls"];

const textOf = (items: readonly unknown[]): string => (items[0] as { content: string }).content;

test.each(URLS)("benchmark workload - each description asks for exactly its recipe, with the data at %s", (url) => {
  const steps = makeChains([], url)
    .flatMap((chain) => chain.steps.map((step) => ({ chain, step })))
    .filter(({ chain }) => chain.name !== "file");
  const found = steps.map(({ chain, step }) => {
    const plan = planTask({ description: textOf(step.content(TAKES_CALLS)), node_type: chain.nodeType });
    const named = RECIPES.filter(({ name }) => name === step.recipe);
    const titles = named.flatMap((recipe) => {
      const parameters = step.recipe === "download-clean-csv" ? { url } : {};
      return planTask({ recipes: [{ name: recipe.name, parameters }] }).calls.map(({ title }) => title);
    });
    return {
      recipe: step.recipe,
      source: plan.source,
      titles: plan.calls.map(({ title }) => title),
      expected: titles,
      url: plan.calls[0]?.input,
    };
  });
  for (const { recipe, source, titles, expected, url: input } of found) {
    expect([recipe, source]).toEqual([recipe, "recipe"]);
    if (recipe === "download-csv") expect(titles).toHaveLength(2);
    else expect([recipe, titles]).toEqual([recipe, expected]);
    if (recipe.startsWith("download")) expect(input).toMatchObject({ url });
  }
});

test("benchmark workload - the seven recipes are the chains' steps, in an order in which each finds its input", () => {
  const steps = makeChains([], GDP_URL).flatMap(({ steps }) => steps.map(({ recipe }) => recipe));
  expect(steps.filter((name) => RECIPES.some((recipe) => recipe.name === name))).toEqual(
    RECIPES.map(({ name }) => name),
  );
  expect(steps).toHaveLength(RECIPES.length + 2);
});

test("benchmark workload - the file task is tool calls, and commands for a server that takes none", () => {
  const [step] = makeChains(["file"], GDP_URL)[0]?.steps ?? [];
  const [item] = (step?.content(TAKES_CALLS) ?? []) as { type: string; content: unknown }[];
  expect(item?.type).toBe("tool_calls");
  expect(planTask(TaskInput.parse({ tool_calls: item?.content })).calls.map(({ tool }) => tool)).toEqual([
    "write_file",
    "read_file",
    "list_files",
  ]);
  const plan = planTask({ description: textOf(step?.content([]) ?? []) });
  expect([plan.source, plan.calls.map(({ tool }) => tool)]).toEqual(["fenced_code", ["run_command"]]);
});

test("benchmark workload - chains keep their order; an unknown one and data that is no plain address are refused", () => {
  expect(makeChains(["web", "gdp"], GDP_URL).map(({ name }) => name)).toEqual(["gdp", "web"]);
  expect(() => makeChains(["gdp", "gpd"], GDP_URL)).toThrow(expect.objectContaining({ code: "invalid_request" }));
  for (const url of [
    "gdp.csv",
    "file:///etc/passwd",
    "https://u:p@h.example/a.csv",
    "https://h.example/it's.csv",
    "https://h.example/a.csv,",
  ])
    expect(() => makeChains([], url), url).toThrow(/address/);
});
