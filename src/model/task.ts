import { z } from "zod";
import { NODE_TYPES, parseNodeType } from "./node-type.ts";

/** The edge schema of a task (docs/tasks.md). Unknown fields are errors. */

const nodeType = z.string().transform((name, context) => {
  const type = parseNodeType(name);
  if (type) return type;
  context.addIssue({ code: "custom", message: `unknown node type; one of ${NODE_TYPES.join(", ")}` });
  return z.NEVER;
});

const millis = z
  .int()
  .min(1)
  .max(24 * 60 * 60 * 1000);
const bytes = z
  .int()
  .min(1024 * 1024)
  .max(1024 ** 4);
const environmentName = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/);

export const LimitsInput = z.strictObject({
  memory_bytes: bytes.min(16 * 1024 * 1024).optional(),
  cpus: z.number().min(0.05).max(1024).optional(),
  pids: z.int().min(8).max(32_768).optional(),
  workspace_bytes: bytes.optional(),
  tmp_bytes: bytes.optional(),
  open_files: z.int().min(32).max(1_048_576).optional(),
  output_bytes: z
    .int()
    .min(1024)
    .max(16 * 1024 * 1024)
    .optional(),
  spill_bytes: z
    .int()
    .min(0)
    .max(1024 ** 3)
    .optional(),
  call_timeout_ms: millis.optional(),
  task_timeout_ms: millis.optional(),
});
export type LimitsInput = z.infer<typeof LimitsInput>;

export const CodeInput = z.strictObject({
  language: z.enum(["python", "javascript", "bash"]),
  source: z.string().max(4 * 1024 * 1024),
  file: z.string().max(255).optional(),
});

export const ToolCallInput = z.strictObject({
  tool: z.string().max(64),
  input: z.record(z.string(), z.unknown()),
  title: z.string().max(200).optional(),
  timeout_ms: millis.optional(),
  attempts: z.int().min(1).max(10).optional(),
  continue_on_failure: z.boolean().optional(),
});

export const RecipeInput = z.strictObject({
  name: z.string().max(64),
  parameters: z.record(z.string(), z.unknown()).optional(),
});

export const TaskInput = z.strictObject({
  /** Free text: fenced code blocks in it are run, else a recipe that matches it. */
  description: z
    .string()
    .max(256 * 1024)
    .optional(),
  node_type: nodeType.optional(),
  tool_calls: z.array(ToolCallInput).min(1).max(1000).optional(),
  code: z.union([CodeInput, z.array(CodeInput).min(1).max(100)]).optional(),
  /** One recipe or a chain of them over one workspace. */
  recipes: z.array(RecipeInput).min(1).max(100).optional(),
  /** Files written before anything runs: path to text. */
  files: z.record(z.string().max(4096), z.string().max(4 * 1024 * 1024)).optional(),
  env: z.record(environmentName, z.string().max(32 * 1024)).optional(),
  /** Egress policy (docs/network.md). Default: none. */
  network: z.union([z.string().max(64 * 1024), z.array(z.string().max(300)).max(1000)]).optional(),
  limits: LimitsInput.optional(),
  /** `kill` ends a call whose stdout or stderr exceeds `limits.output_bytes` (verdict `output`); default: keep its head and tail. */
  on_output: z.enum(["keep", "kill"]).optional(),
  /** Start from the bare node instead of the type's template. */
  bare: z.boolean().optional(),
});
export type TaskInput = z.infer<typeof TaskInput>;
/** A task as it is written, before it is checked. */
export type TaskRequest = z.input<typeof TaskInput>;
