import { PaddockError } from "../errors/error.ts";
import type { NodeType } from "../model/node-type.ts";
import type { TaskInput } from "../model/task.ts";
import { findTool, TOOLS } from "../tools/registry.ts";
import type { PlannedCall, Tool } from "../tools/tool.ts";
import { type CodeBlock, defaultLanguage, findCodeBlocks } from "./fenced-code.ts";
import { checkInput } from "./input-check.ts";
import type { Recipe } from "./recipes/recipe.ts";
import { findRecipe, RECIPES } from "./recipes/registry.ts";
import { readTaskText } from "./recipes/task-text.ts";

export interface TaskPlan {
  readonly nodeType: NodeType;
  /** Every input is checked by its tool's schema. */
  readonly calls: readonly PlannedCall[];
  /** The egress policy that the plan needs; a task's own policy takes its place. */
  readonly network: readonly string[];
  /** The plan needs the bare node; a task's own choice takes its place. */
  readonly bare: boolean;
  readonly source: "tool_calls" | "code" | "fenced_code" | "recipe";
}

/**
 * What a task asks for as calls, before anything runs. It names its work once: as tool calls, as code, as recipes, or
 * in its description, where fenced code blocks are run and otherwise the recipes that it mentions. Throws
 * `invalid_request` with the field and its rule, and `no_plan` when nothing applies.
 */
export function planTask(task: TaskInput): TaskPlan {
  const given = (["tool_calls", "code", "recipes"] as const).filter((field) => task[field] !== undefined);
  if (given.length > 1)
    throw new PaddockError("invalid_request", `${given.join(" and ")}: give one of them, not ${given.length}`);
  const plan = planExplicit(task) ?? planDescription(task) ?? refuse(task);
  return {
    ...plan,
    calls: plan.calls.map((call, index) => checkCall(call, index, plan.source)),
    bare: task.bare ?? plan.bare,
  };
}

function planExplicit(task: TaskInput): TaskPlan | undefined {
  if (task.tool_calls !== undefined) return planToolCalls(task.tool_calls, task.node_type);
  if (task.code !== undefined) {
    const blocks = Array.isArray(task.code) ? task.code : [task.code];
    return planCode(blocks, task.node_type, "code");
  }
  if (task.recipes === undefined) return undefined;
  return planRecipes(
    task.recipes.map(({ name, parameters }, index) => {
      const recipe = findRecipe(name);
      if (recipe !== undefined) return { recipe, parameters: parameters ?? {}, field: `recipes[${index}] (${name})` };
      const known = RECIPES.map((one) => one.name).join(", ");
      throw new PaddockError(
        "invalid_request",
        `recipes[${index}].name: unknown recipe ${JSON.stringify(name)}; one of ${known}`,
      );
    }),
    task.node_type,
  );
}

function planDescription(task: TaskInput): TaskPlan | undefined {
  const { description } = task;
  if (description === undefined) return undefined;
  const blocks = findCodeBlocks(description);
  if (blocks.length > 0) return planCode(blocks, task.node_type, "fenced_code");
  const text = readTaskText(description);
  const matches = RECIPES.flatMap((recipe) => {
    const match = recipe.match(text);
    return match === undefined
      ? []
      : [{ recipe, parameters: match.parameters, field: `recipe ${recipe.name}`, at: match.at }];
  });
  return matches.length === 0
    ? undefined
    : planRecipes(
        matches.toSorted((one, other) => one.at - other.at),
        task.node_type,
      );
}

function planToolCalls(given: NonNullable<TaskInput["tool_calls"]>, nodeType: NodeType | undefined): TaskPlan {
  const calls = given.map(
    ({ tool, input, title, timeout_ms, attempts, continue_on_failure }): PlannedCall => ({
      tool,
      input,
      ...(title === undefined ? {} : { title }),
      ...(timeout_ms === undefined ? {} : { timeoutMs: timeout_ms }),
      ...(attempts === undefined ? {} : { attempts }),
      ...(continue_on_failure === undefined ? {} : { continueOnFailure: continue_on_failure }),
    }),
  );
  return { nodeType: nodeType ?? guessNodeType(given), calls, network: [], bare: false, source: "tool_calls" };
}

type NamedCode = CodeBlock & { readonly file?: string | undefined };

function planCode(blocks: readonly NamedCode[], given: NodeType | undefined, source: "code" | "fenced_code"): TaskPlan {
  const first = blocks.find(({ language }) => language === "python" || language === "javascript")?.language;
  const nodeType = given ?? (first === "javascript" ? "javascript" : "python");
  const calls = blocks.map(({ language, source: code, file }): PlannedCall => {
    const runs = language ?? defaultLanguage(nodeType);
    if (runs === "bash") return { tool: "run_command", input: { command: code } };
    return { tool: `run_${runs}`, input: file === undefined ? { code } : { code, file } };
  });
  return { nodeType, calls, network: [], bare: false, source };
}

interface ChosenRecipe {
  readonly recipe: Recipe;
  readonly parameters: Readonly<Record<string, unknown>>;
  /** How errors name it. */
  readonly field: string;
}

function planRecipes(chosen: readonly ChosenRecipe[], nodeType: NodeType | undefined): TaskPlan {
  const parts = chosen.map(({ recipe, parameters, field }) => {
    const parsed = checkInput(recipe.parameters, parameters, field);
    return { calls: recipe.plan(parsed), network: recipe.network(parsed) };
  });
  return {
    nodeType: nodeType ?? chosen[0]?.recipe.nodeType ?? "python",
    calls: parts.flatMap(({ calls }) => calls),
    network: [...new Set(parts.flatMap(({ network }) => network))],
    bare: chosen.some(({ recipe }) => recipe.bare),
    source: "recipe",
  };
}

function checkCall(call: PlannedCall, index: number, source: TaskPlan["source"]): PlannedCall {
  const field = source === "tool_calls" ? `tool_calls[${index}]` : `call ${index + 1}`;
  const tool = findTool(call.tool);
  if (tool === undefined) {
    const known = TOOLS.map(({ name }) => name).join(", ");
    const unknown = JSON.stringify(call.tool);
    throw new PaddockError("invalid_request", `${field}.tool: unknown tool ${unknown}; one of ${known}`);
  }
  return { ...call, input: checkInput(tool.input, call.input, `${field} (${tool.name})`) };
}

/** The node type whose template fits the tools best. */
function guessNodeType(calls: NonNullable<TaskInput["tool_calls"]>): NodeType {
  const uses = (tool: string, manager?: string): boolean =>
    calls.some((call) => call.tool === tool && (manager === undefined || call.input["manager"] === manager));
  if (uses("run_python") || uses("install_packages", "pip")) return "python";
  if (uses("run_javascript") || uses("install_packages", "npm")) return "javascript";
  const tools = calls.map((call) => findTool(call.tool)).filter((tool): tool is Tool => tool !== undefined);
  if (tools.every(({ category }) => category === "file")) return "file";
  return tools.every(({ category }) => category === "file" || category === "network") ? "web" : "python";
}

function refuse(task: TaskInput): never {
  const reason =
    task.description === undefined
      ? "the task names no work"
      : "the description holds no fenced code block and no recipe knows what it asks for";
  const list = RECIPES.map(({ name, title, example }) => `  ${name}: ${title}. For example: ${example}`).join("\n");
  throw new PaddockError(
    "no_plan",
    `${reason}. Give tool_calls, code, a code block in the description, or one of these recipes:\n${list}`,
    {
      context: { recipes: RECIPES.map(({ name, description }) => ({ name, description })) },
    },
  );
}
