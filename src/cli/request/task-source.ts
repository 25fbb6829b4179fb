import { existsSync, readFileSync, statSync } from "node:fs";
import { basename, extname } from "node:path";
import { PaddockError } from "../../errors/error.ts";
import { defaultLanguage } from "../../executor/fenced-code.ts";
import { parseNodeType } from "../../model/node-type.ts";

export interface SourceOptions {
  readonly code?: string;
  readonly type?: string;
}

type Language = ReturnType<typeof defaultLanguage>;

const LANGUAGES: Readonly<Record<string, Language>> = {
  ".py": "python",
  ".js": "javascript",
  ".mjs": "javascript",
  ".cjs": "javascript",
  ".sh": "bash",
};
const DESCRIPTIONS: readonly string[] = [".md", ".txt"];
const SHEBANG = /^#!.*\b(?:(python)[\d.]*|(node)|(?:ba|da)?(sh))\b/;

/** What `paddock run` is asked for, as the fields of a task: a file, `-c`, standard input or a description. */
export async function readSource(
  source: string | undefined,
  options: SourceOptions,
  stdin: NodeJS.ReadStream,
): Promise<Record<string, unknown>> {
  if (options.code !== undefined) {
    if (source === undefined) return codeTask(options.code, options.type);
    throw new PaddockError("invalid_request", "both -c and a source are given", { hint: "Give one of them." });
  }
  if (source === undefined && stdin.isTTY) {
    throw new PaddockError("invalid_request", "nothing to run", {
      hint: "Give a file, -c CODE, a description, or pipe code in; see paddock run --help.",
    });
  }
  if (source === undefined || source === "-") return inputTask(await readAll(stdin), options.type);
  return existsSync(source) ? fileTask(source, options.type) : descriptionTask(source);
}

function inputTask(text: string, type: string | undefined): Record<string, unknown> {
  if (text.trim() === "") {
    throw new PaddockError("invalid_request", "standard input is empty", { hint: "Pipe code or a task JSON in." });
  }
  if (!text.trimStart().startsWith("{")) return codeTask(text, type);
  if (type === undefined) return jsonTask(text, "standard input", "Say --type python if it is a program.");
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return codeTask(text, type);
  }
}

function jsonTask(text: string, name: string, hint?: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new PaddockError("invalid_request", `${name} is no JSON: ${reason}`, {
      cause,
      ...(hint === undefined ? {} : { hint }),
    });
  }
}

function fileTask(path: string, type: string | undefined): Record<string, unknown> {
  const text = readText(path);
  const extension = extname(path).toLowerCase();
  if (extension === ".json") return jsonTask(text, path);
  if (DESCRIPTIONS.includes(extension)) return { description: text };
  const language = LANGUAGES[extension] ?? shebangLanguage(text);
  if (language === undefined && type === undefined) {
    throw new PaddockError("invalid_request", `${path}: not known as a program`, {
      hint: "Use .py, .js, .mjs, .cjs, .sh, .json (a task), .md or .txt (a description), a #! line, or say --type.",
    });
  }
  return codeTask(text, type, language, basename(path));
}

function readText(path: string): string {
  if (statSync(path).isDirectory()) {
    throw new PaddockError("invalid_request", `${path} is a folder`, {
      hint: "Name the file to run; --workspace FOLDER copies a folder in.",
    });
  }
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new PaddockError("not_found", `${path} cannot be read`, { cause, hint: String(cause) });
  }
}

function shebangLanguage(text: string): Language | undefined {
  const [, python, node, shell] = SHEBANG.exec(text.split("\n", 1)[0] ?? "") ?? [];
  if (python !== undefined) return "python";
  if (node !== undefined) return "javascript";
  return shell === undefined ? undefined : "bash";
}

function descriptionTask(source: string): Record<string, unknown> {
  if (/\s/.test(source.trim())) return { description: source };
  throw new PaddockError("not_found", `there is no file ${source}`, {
    hint: "A description is given as one quoted argument with several words.",
  });
}

function codeTask(text: string, type: string | undefined, known?: Language, file?: string): Record<string, unknown> {
  const language = known ?? defaultLanguage(parseNodeType(type ?? "python") ?? "python");
  return {
    code: { language, source: text, ...(file === undefined ? {} : { file }) },
    node_type: type ?? (language === "bash" ? "file" : language),
  };
}

async function readAll(stream: NodeJS.ReadStream): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}
