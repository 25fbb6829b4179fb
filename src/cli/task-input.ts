import { existsSync, readFileSync, statSync } from "node:fs";
import { basename, extname } from "node:path";
import { PaddockError } from "../errors/error.ts";
import { parseNodeType } from "../model/node-type.ts";
import { TaskInput } from "../model/task.ts";
import { parseDuration, parseSize } from "./units.ts";

export interface TaskOptions {
  readonly code?: string;
  readonly type?: string;
  readonly timeout?: string;
  readonly callTimeout?: string;
  readonly memory?: string;
  readonly cpus?: string;
  readonly pids?: string;
  readonly disk?: string;
  readonly network?: string;
  readonly env?: readonly string[];
  readonly bare?: boolean;
}

type Language = "python" | "javascript" | "bash";

const LANGUAGES: Readonly<Record<string, Language>> = {
  ".py": "python",
  ".js": "javascript",
  ".mjs": "javascript",
  ".cjs": "javascript",
  ".sh": "bash",
};

/** The task that `paddock run` is asked for: a file, `-c`, standard input, a task JSON or a description, with the options over it. */
export async function readTask(
  source: string | undefined,
  options: TaskOptions,
  stdin: NodeJS.ReadStream,
): Promise<TaskInput> {
  const base = await readSource(source, options, stdin);
  return parseTask({ ...base, ...overlay(base, options) });
}

async function readSource(
  source: string | undefined,
  options: TaskOptions,
  stdin: NodeJS.ReadStream,
): Promise<Record<string, unknown>> {
  if (options.code !== undefined) return codeTask(options.code, undefined, options.type);
  if (source === undefined && stdin.isTTY) {
    throw new PaddockError("invalid_request", "nothing to run", {
      hint: "Give a file, -c CODE, a description, or pipe code in; see paddock run --help.",
    });
  }
  if (source === undefined || source === "-") return textTask(await readAll(stdin), "standard input", options.type);
  if (existsSync(source) && statSync(source).isFile()) {
    const text = readFileSync(source, "utf8");
    const language = LANGUAGES[extname(source)];
    return language === undefined
      ? textTask(text, source, options.type)
      : codeTask(text, basename(source), options.type, language);
  }
  if (!/\s/.test(source)) {
    throw new PaddockError("not_found", `${source} is no file`, {
      hint: "A description is given as one quoted argument with several words.",
    });
  }
  return { description: source };
}

function textTask(text: string, name: string, type: string | undefined): Record<string, unknown> {
  if (!text.trimStart().startsWith("{")) return codeTask(text, undefined, type);
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch (cause) {
    if (name.endsWith(".json"))
      throw new PaddockError("invalid_request", `${name} is no JSON: ${String(cause)}`, { cause });
    return codeTask(text, undefined, type);
  }
}

function codeTask(
  text: string,
  file: string | undefined,
  type: string | undefined,
  known?: Language,
): Record<string, unknown> {
  const language = known ?? (parseNodeType(type ?? "python") === "javascript" ? "javascript" : "python");
  return {
    code: { language, source: text, ...(file === undefined ? {} : { file }) },
    node_type: type ?? (language === "bash" ? "file" : language),
  };
}

function overlay(base: Record<string, unknown>, options: TaskOptions): Record<string, unknown> {
  const limits = {
    ...(options.timeout
      ? {
          task_timeout_ms: parseDuration(options.timeout, "--timeout"),
          call_timeout_ms: parseDuration(options.timeout, "--timeout"),
        }
      : {}),
    ...(options.callTimeout ? { call_timeout_ms: parseDuration(options.callTimeout, "--call-timeout") } : {}),
    ...(options.memory ? { memory_bytes: parseSize(options.memory, "--memory") } : {}),
    ...(options.disk ? { workspace_bytes: parseSize(options.disk, "--disk") } : {}),
    ...(options.cpus ? { cpus: Number(options.cpus) } : {}),
    ...(options.pids ? { pids: Number(options.pids) } : {}),
  };
  const env = Object.fromEntries((options.env ?? []).map(splitEnv));
  return {
    ...(options.type ? { node_type: options.type } : {}),
    ...(options.network === undefined ? {} : { network: options.network }),
    ...(options.bare ? { bare: true } : {}),
    ...(Object.keys(limits).length > 0 ? { limits: { ...(base["limits"] as object | undefined), ...limits } } : {}),
    ...(Object.keys(env).length > 0 ? { env: { ...(base["env"] as object | undefined), ...env } } : {}),
  };
}

function splitEnv(pair: string): [string, string] {
  const equals = pair.indexOf("=");
  if (equals > 0) return [pair.slice(0, equals), pair.slice(equals + 1)];
  throw new PaddockError("invalid_request", `--env ${pair} has no value`, { hint: "Write --env NAME=VALUE." });
}

/** A task from outside, or `invalid_request` naming the first field that does not fit. */
export function parseTask(value: unknown): TaskInput {
  const parsed = TaskInput.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const field = issue?.path.join(".") || "task";
  throw new PaddockError("invalid_request", `${field}: ${issue?.message ?? "invalid"}`);
}

async function readAll(stream: NodeJS.ReadStream): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}
