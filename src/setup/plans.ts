import { readFile } from "node:fs/promises";
import { z } from "zod";
import { PaddockError } from "../errors/error.ts";
import { parseUntrustedJson } from "../lib/json.ts";
import type { NodeType } from "../model/node-type.ts";
import { type SetupPlan, setupPlanSchema } from "./plan.ts";

/** The same depth from `src/setup` and from `dist/setup`. */
const TEMPLATES = new URL("../../setup-templates/", import.meta.url);

/** A plan from JSON text; `source` names it in the error. Throws `invalid_config` with every field that is wrong. */
export function parsePlan(text: string, source: string): SetupPlan {
  let value: unknown;
  try {
    value = parseUntrustedJson(text);
  } catch (cause) {
    throw new PaddockError("invalid_config", `${source} is not JSON: ${String(cause)}`, { cause });
  }
  const parsed = setupPlanSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new PaddockError("invalid_config", `${source} is not a setup plan:\n${z.prettifyError(parsed.error)}`, {
    cause: parsed.error,
    hint: "docs/setup.md lists the fields of a setup plan.",
  });
}

/** The plan that Paddock ships for a node type (`setup-templates/<type>/plan.json`). */
export async function loadPlan(nodeType: NodeType): Promise<SetupPlan> {
  const url = new URL(`${nodeType}/plan.json`, TEMPLATES);
  return parsePlan(await readFile(url, "utf8"), `setup-templates/${nodeType}/plan.json`);
}
