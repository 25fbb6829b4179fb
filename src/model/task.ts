import { z } from "zod";
import { ENVIRONMENT_NAME, intField, textField } from "./fields.ts";
import { NODE_TYPES, parseNodeType } from "./node-type.ts";
import { DAY_MS, GIB, KIB, MIB, TIB } from "./units.ts";

/** The edge schema of a task (docs/tasks.md). Unknown fields are errors. */

const nodeType = z.string().transform((name, context) => {
  const type = parseNodeType(name);
  if (type) return type;
  context.addIssue({ code: "custom", message: `unknown node type; one of ${NODE_TYPES.join(", ")}` });
  return z.NEVER;
});

const millis = intField(1, DAY_MS);
const bytes = intField(MIB, TIB);
const environmentName = z.string().regex(ENVIRONMENT_NAME);

export const LimitsInput = z.strictObject({
  memory_bytes: bytes.min(16 * MIB).optional(),
  cpus: z.number().min(0.05).max(1024).optional(),
  pids: intField(8, 32_768).optional(),
  workspace_bytes: bytes.optional(),
  tmp_bytes: bytes.optional(),
  open_files: intField(32, 1_048_576).optional(),
  output_bytes: intField(1024, 16 * MIB).optional(),
  spill_bytes: intField(0, GIB).optional(),
  call_timeout_ms: millis.optional(),
  task_timeout_ms: millis.optional(),
});
export type LimitsInput = z.infer<typeof LimitsInput>;

export const CodeInput = z.strictObject({
  language: z.enum(["python", "javascript", "bash"]),
  source: textField(4 * MIB),
  file: z.string().max(255).optional(),
});

export const ToolCallInput = z.strictObject({
  tool: z.string().max(64),
  input: z.record(z.string(), z.unknown()),
  title: z.string().max(200).optional(),
  timeout_ms: millis.optional(),
  attempts: intField(1, 10).optional(),
  continue_on_failure: z.boolean().optional(),
});

export const RecipeInput = z.strictObject({
  name: z.string().max(64),
  parameters: z.record(z.string(), z.unknown()).optional(),
});

export const TaskInput = z.strictObject({
  /** Free text: fenced code blocks in it are run, else a recipe that matches it. */
  description: textField(256 * KIB).optional(),
  node_type: nodeType.optional(),
  tool_calls: z.array(ToolCallInput).min(1).max(1000).optional(),
  code: z.union([CodeInput, z.array(CodeInput).min(1).max(100)]).optional(),
  /** One recipe or a chain of them over one workspace. */
  recipes: z.array(RecipeInput).min(1).max(100).optional(),
  /** Files written before anything runs: path to text. */
  files: z.record(z.string().max(4096), textField(4 * MIB)).optional(),
  env: z.record(environmentName, textField(32 * KIB)).optional(),
  /** Egress policy (docs/network.md). Default: none. */
  network: z.union([textField(64 * KIB), z.array(z.string().max(300)).max(1000)]).optional(),
  limits: LimitsInput.optional(),
  /**
   * `kill` ends a call whose stdout or stderr exceeds `limits.output_bytes` (verdict `output`); default: keep its head
   * and tail.
   */
  on_output: z.enum(["keep", "kill"]).optional(),
  /** Start from the bare node instead of the type's template. */
  bare: z.boolean().optional(),
});
export type TaskInput = z.infer<typeof TaskInput>;
/** A task as it is written, before it is checked. */
export type TaskRequest = z.input<typeof TaskInput>;
