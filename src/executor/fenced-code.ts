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

/**
 * The fenced blocks of a text that are programs, in order. Blocks in other languages (json, text, console, ...) are not
 * run. A fence that is not closed may have lost its end, so it is an error.
 */
export function findCodeBlocks(text: string): CodeBlock[] {
  const blocks: CodeBlock[] = [];
  let open: OpenBlock | undefined;
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    const fence = readFence(line);
    if (open === undefined) {
      if (fence !== undefined && !fence.rest.includes("`")) open = { fence, line: index + 1, source: [] };
    } else if (fence !== undefined && closes(fence, open.fence)) {
      addBlock(blocks, readInfo(open.fence), `${open.source.join("\n")}\n`);
      open = undefined;
    } else open.source.push(line.slice(countLeading(line, " ", open.fence.indent)));
  }
  if (open === undefined) return blocks;
  const { fence, line } = open;
  throw new PaddockError(
    "invalid_request",
    `description: the code block that begins in line ${line} has no closing ${fence.mark.repeat(fence.length)}`,
  );
}

/** A line that begins with a run of marks. */
interface Fence {
  readonly indent: number;
  readonly mark: string;
  readonly length: number;
  /** What follows the marks. */
  readonly rest: string;
}

interface OpenBlock {
  readonly fence: Fence;
  /** Of its opening, from 1. */
  readonly line: number;
  readonly source: string[];
}

const MAX_INDENT = 3;
const MIN_FENCE = 3;

/** Counts instead of matching: a pattern with two runs in a row goes back over them for each length of the first. */
function readFence(line: string): Fence | undefined {
  const indent = countLeading(line, " ", MAX_INDENT);
  const mark = line[indent];
  if (mark !== "`" && mark !== "~") return undefined;
  const length = countLeading(line.slice(indent), mark);
  return length < MIN_FENCE ? undefined : { indent, mark, length, rest: line.slice(indent + length) };
}

function countLeading(text: string, character: string, most = text.length): number {
  let count = 0;
  while (count < most && text[count] === character) count += 1;
  return count;
}

const closes = ({ mark, length, rest }: Fence, opening: Fence): boolean =>
  mark === opening.mark && length >= opening.length && /^[ \t]*$/.test(rest);

/** The first word after the marks. */
const readInfo = ({ rest }: Fence): string => (/^[ \t]*([^\s{]*)/.exec(rest)?.[1] ?? "").toLowerCase();

/** What a block without language means on a node type. */
export function defaultLanguage(nodeType: NodeType): CodeLanguage {
  if (nodeType === "javascript") return "javascript";
  return nodeType === "file" ? "bash" : "python";
}

function addBlock(blocks: CodeBlock[], info: string, source: string): void {
  if (source.trim() === "") return;
  if (info === "") blocks.push({ source });
  const language = Object.hasOwn(LANGUAGES, info) ? LANGUAGES[info] : undefined;
  if (language !== undefined) blocks.push({ language, source });
}
