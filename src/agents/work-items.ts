import { z } from "zod";
import { checkInput } from "../executor/input-check.ts";
import { CodeInput, RecipeInput, type TaskInput, ToolCallInput } from "../model/task.ts";

/** The fields of a task that name work. */
export type NamedWork = Pick<TaskInput, "description" | "tool_calls" | "code" | "recipes">;

/** One item's work, and how errors name the item. */
export interface WorkItem {
  readonly work: NamedWork;
  readonly field: string;
  /** Of every call of the item that has none of its own. */
  readonly title?: string | undefined;
}

export interface ReadItems {
  /** What is to be run, in order. With explicit items the text items are not among them. */
  readonly items: readonly WorkItem[];
  /** What was left out and why. */
  readonly notes: readonly string[];
}

const MAX_ITEMS = 1000;
const MAX_NOTES = 10;
const MAX_TEXT = 256 * 1024;

const title = z.string().max(200).optional();
const type = z.string();
const CodeItem = z.strictObject({ type, content: CodeInput.shape.source, file: CodeInput.shape.file, title });
const ToolCallsItem = z.strictObject({
  type,
  content: z.array(ToolCallInput).min(1).max(1000),
  /** Makes two posts of the same calls different for a client that searches its own post. */
  key: z.string().max(200).optional(),
});
const RecipeItem = z.strictObject({ type, content: RecipeInput, title });
const FlatRecipeItem = z.strictObject({ type, ...RecipeInput.shape, title });

type ReadItem = (item: object, field: string) => WorkItem;

const readCode =
  (language: z.infer<typeof CodeInput>["language"]): ReadItem =>
  (item, field) => {
    const { content, file, title: shown } = checkInput(CodeItem, item, field);
    return {
      work: { code: { language, source: content, ...(file === undefined ? {} : { file }) } },
      field,
      title: shown,
    };
  };

const EXPLICIT: Readonly<Record<string, ReadItem>> = {
  python: readCode("python"),
  javascript: readCode("javascript"),
  bash: readCode("bash"),
  tool_calls: (item, field) => ({ work: { tool_calls: checkInput(ToolCallsItem, item, field).content }, field }),
  recipe: (item, field) => {
    if (Object.hasOwn(item, "content")) {
      const { content, title: shown } = checkInput(RecipeItem, item, field);
      return { work: { recipes: [content] }, field, title: shown };
    }
    const { type: _type, title: shown, ...recipe } = checkInput(FlatRecipeItem, item, field);
    return { work: { recipes: [recipe] }, field, title: shown };
  },
};

/** The work of `input.content`, or of the older `{"text": ...}` and of a bare string. Throws `invalid_request` with the field. */
export function readItems(input: unknown): ReadItems {
  const content = listContent(input);
  checkInput(z.array(z.unknown()).max(MAX_ITEMS), content, "input.content");
  const explicit: WorkItem[] = [];
  const texts: string[] = [];
  const notes: string[] = [];
  for (const [index, item] of content.entries()) {
    const kind = typeOf(item);
    const read = kind !== undefined && Object.hasOwn(EXPLICIT, kind) ? EXPLICIT[kind] : undefined;
    const text = kind === "text" ? (item as { readonly content?: unknown }).content : undefined;
    if (read !== undefined) explicit.push(read(item as object, `input.content[${index}] (${kind})`));
    else if (typeof text === "string") texts.push(text);
    else notes.push(explainUnused(index, kind));
  }
  return { items: explicit.length > 0 ? explicit : describe(texts), notes: bound(notes) };
}

function listContent(input: unknown): readonly unknown[] {
  if (typeof input === "string") return [{ type: "text", content: input }];
  if (typeof input !== "object" || input === null) return [];
  const { content, text } = input as { readonly content?: unknown; readonly text?: unknown };
  if (Array.isArray(content)) return content;
  return typeof text === "string" ? [{ type: "text", content: text }] : [];
}

function typeOf(item: unknown): string | undefined {
  if (typeof item !== "object" || item === null) return undefined;
  const { type: name } = item as { readonly type?: unknown };
  return typeof name === "string" ? name.toLowerCase() : undefined;
}

function describe(texts: readonly string[]): WorkItem[] {
  const description = texts.join("\n\n");
  if (description.trim() === "") return [];
  checkInput(z.string().max(MAX_TEXT), description, "input.content (text)");
  return [{ work: { description }, field: "input.content (text)" }];
}

function explainUnused(index: number, kind: string | undefined): string {
  if (kind === undefined) return `input.content[${index}] has no type; it is stored and not used`;
  if (kind === "text") return `input.content[${index}] is a text without string content; it is stored and not used`;
  return `input.content[${index}] is of type ${JSON.stringify(kind.slice(0, 40))}, which nothing here runs; it is stored and not used`;
}

function bound(notes: readonly string[]): string[] {
  if (notes.length <= MAX_NOTES) return [...notes];
  return [...notes.slice(0, MAX_NOTES), `${notes.length - MAX_NOTES} more items are not used`];
}
