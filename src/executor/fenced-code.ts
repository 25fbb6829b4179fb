import { PaddockError } from "../errors/error.ts";
import type { NodeType } from "../model/node-type.ts";

export type CodeLanguage = "python" | "javascript" | "bash";

export interface CodeBlock {
  /** Absent when the fence names none. */
  readonly language?: CodeLanguage;
  readonly source: string;
}

const LANGUAGES: Readonly<Record<string, CodeLanguage>> = {
  python: "python",
  py: "python",
  python3: "python",
  javascript: "javascript",
  js: "javascript",
  node: "javascript",
  mjs: "javascript",
  cjs: "javascript",
  bash: "bash",
  sh: "bash",
  shell: "bash",
};

const OPENING = /^( {0,3})(`{3,}|~{3,})[ \t]*([^`\s{]*)[^`]*$/;

/**
 * The fenced blocks of a text that are programs, in order. Blocks in other languages (json, text, console, ...) are not run.
 * A fence that is not closed may have lost its end, so it is an error.
 */
export function findCodeBlocks(text: string): CodeBlock[] {
  const blocks: CodeBlock[] = [];
  const lines = text.split(/\r?\n/);
  for (let index = 0; index < lines.length; index++) {
    const opening = OPENING.exec(lines[index] ?? "");
    if (opening === null) continue;
    const [, indent = "", fence = "", info = ""] = opening;
    const end = findClosing(lines, index + 1, fence);
    if (end < 0) {
      throw new PaddockError(
        "invalid_request",
        `description: the code block that begins in line ${index + 1} has no closing ${fence}`,
      );
    }
    const source = lines.slice(index + 1, end).map((line) => stripIndent(line, indent.length));
    addBlock(blocks, info.toLowerCase(), `${source.join("\n")}\n`);
    index = end;
  }
  return blocks;
}

/** What a block without language means on a node type. */
export function defaultLanguage(nodeType: NodeType): CodeLanguage {
  if (nodeType === "javascript") return "javascript";
  return nodeType === "file" ? "bash" : "python";
}

function findClosing(lines: readonly string[], from: number, fence: string): number {
  const mark = fence[0] ?? "`";
  const closing = new RegExp(`^ {0,3}${mark}{${fence.length},}[ \\t]*$`);
  return lines.findIndex((line, index) => index >= from && closing.test(line));
}

function addBlock(blocks: CodeBlock[], info: string, source: string): void {
  if (source.trim() === "") return;
  if (info === "") blocks.push({ source });
  const language = Object.hasOwn(LANGUAGES, info) ? LANGUAGES[info] : undefined;
  if (language !== undefined) blocks.push({ language, source });
}

function stripIndent(line: string, width: number): string {
  return line.replace(new RegExp(`^ {0,${width}}`), "");
}
