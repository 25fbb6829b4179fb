import { PaddockError } from "../../errors/error.ts";
import { checkInput } from "../../executor/input-check.ts";
import { TaskInput } from "../../model/task.ts";
import { parseDuration, parseNumber, parseSize } from "../render/units.ts";
import { readSource, type SourceOptions } from "./task-source.ts";

export interface TaskOptions extends SourceOptions {
  readonly timeout?: string;
  readonly callTimeout?: string;
  readonly memory?: string;
  readonly cpus?: string;
  readonly pids?: string;
  readonly disk?: string;
  readonly network?: string;
  readonly env?: readonly string[];
  readonly bare?: boolean;
  readonly killOnOutput?: boolean;
}

/**
 * The task that `paddock run` is asked for: a file, `-c`, standard input, a task JSON or a description, with the
 * options over it.
 */
export async function readTask(
  source: string | undefined,
  options: TaskOptions,
  stdin: NodeJS.ReadStream,
): Promise<TaskInput> {
  const base = await readSource(source, options, stdin);
  return parseTask({ ...base, ...overlay(base, options) }, options);
}

function overlay(base: Record<string, unknown>, options: TaskOptions): Record<string, unknown> {
  const limits = readLimits(options);
  const env = Object.fromEntries((options.env ?? []).map(splitEnv));
  return {
    ...(options.type === undefined ? {} : { node_type: options.type }),
    ...(options.network === undefined ? {} : { network: options.network }),
    ...(options.bare ? { bare: true } : {}),
    ...(options.killOnOutput ? { on_output: "kill" } : {}),
    ...(Object.keys(limits).length > 0 ? { limits: { ...(base["limits"] as object | undefined), ...limits } } : {}),
    ...(Object.keys(env).length > 0 ? { env: { ...(base["env"] as object | undefined), ...env } } : {}),
  };
}

/** Which option sets which limit, and how its text is read. `--timeout` stands for both timeouts. */
const LIMIT_OPTIONS = [
  ["task_timeout_ms", "timeout", "--timeout", parseDuration],
  ["call_timeout_ms", "timeout", "--timeout", parseDuration],
  ["call_timeout_ms", "callTimeout", "--call-timeout", parseDuration],
  ["memory_bytes", "memory", "--memory", parseSize],
  ["workspace_bytes", "disk", "--disk", parseSize],
  ["cpus", "cpus", "--cpus", parseNumber],
  ["pids", "pids", "--pids", parseNumber],
] as const;

function readLimits(options: TaskOptions): Record<string, number> {
  const given = LIMIT_OPTIONS.flatMap(([field, option, flag, parse]) => {
    const text = options[option];
    return text === undefined ? [] : [[field, parse(text, flag)] as const];
  });
  return Object.fromEntries(given);
}

function splitEnv(pair: string): [string, string] {
  const equals = pair.indexOf("=");
  if (equals > 0) return [pair.slice(0, equals), pair.slice(equals + 1)];
  throw new PaddockError("invalid_request", `--env ${pair} has no ${equals < 0 ? "value" : "name"}`, {
    hint: "Write --env NAME=VALUE.",
  });
}

/** The error of the task's schema, named by the option where one set the field. */
function parseTask(value: unknown, options: TaskOptions): TaskInput {
  try {
    return checkInput(TaskInput, value, "task");
  } catch (error) {
    if (!(error instanceof PaddockError)) throw error;
    const { field, rule } = error.context as { field?: string; rule?: string };
    const [, option, flag] = LIMIT_OPTIONS.findLast(([name, key]) => `limits.${name}` === field && options[key]) ?? [];
    if (option !== undefined) throw new PaddockError("invalid_request", `${flag} is ${options[option]}: ${rule ?? ""}`);
    if (field === "node_type" && options.type !== undefined)
      throw new PaddockError("invalid_request", `--type is ${options.type}: ${rule ?? ""}`);
    throw error;
  }
}
