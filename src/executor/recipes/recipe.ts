import type { z } from "zod";
import type { NodeType } from "../../model/node-type.ts";
import type { PlannedCall } from "../../tools/tool.ts";
import type { TaskText } from "./task-text.ts";

export interface RecipeMatch {
  /** Where in the description the recipe is asked for; chains run in this order. */
  readonly at: number;
  /** As a caller would give them; the recipe's schema fills in the rest. */
  readonly parameters: Readonly<Record<string, unknown>>;
}

/**
 * A reviewed program with parameters. A description chooses it and may give parameters, which reach the program as
 * data; no text of a description becomes code. The last steps prove the result, so that success means something.
 */
export interface Recipe<Parameters = unknown> {
  readonly name: string;
  readonly title: string;
  /** One sentence: what it does and leaves. */
  readonly description: string;
  /** A description that it matches. */
  readonly example: string;
  readonly nodeType: NodeType;
  /** Start from the bare node: pip reports nothing for what a template already has. */
  readonly bare: boolean;
  readonly parameters: z.ZodType<Parameters>;
  /** The egress policy it needs. */
  network(parameters: Parameters): readonly string[];
  /** Undefined when the description asks for something else, or not surely for this. */
  match(text: TaskText): RecipeMatch | undefined;
  plan(parameters: Parameters): readonly PlannedCall[];
}

/** Keeps the parameters' type while a recipe is defined, and forgets it where recipes are listed. */
export function defineRecipe<Parameters>(recipe: Recipe<Parameters>): Recipe {
  return recipe as unknown as Recipe;
}

/** What a description named, without what it left open. */
export function dropUndefined(facts: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== undefined));
}
