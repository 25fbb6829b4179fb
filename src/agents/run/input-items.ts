import { z } from "zod";
import { checkInput } from "../../executor/input-check.ts";
import { CodeInput, RecipeInput, type TaskInput, ToolCallInput } from "../../model/task.ts";

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

export const ITEMS_HINT = "docs/responses.md shows the items that are run and their fields.";

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

const check = <Parsed>(schema: z.ZodType<Parsed>, input: unknown, owner: string): Parsed =>
  checkInput(schema, input, owner, ITEMS_HINT);

type ReadItem = (item: object, field: string) => WorkItem;

const readCode =
  (language: z.infer<typeof CodeInput>["language"]): ReadItem =>
  (item, field) => {
    const { content, file, title: shown } = check(CodeItem, item, field);
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
  tool_calls: (item, field) => ({ work: { tool_calls: check(ToolCallsItem, item, field).content }, field }),
  recipe: (item, field) => {
    if (Object.hasOwn(item, "content")) {
      const { content, title: shown } = check(RecipeItem, item, field);
      return { work: { recipes: [content] }, field, title: shown };
    }
    const { type: _type, title: shown, ...recipe } = check(FlatRecipeItem, item, field);
    return { work: { recipes: [recipe] }, field, title: shown };
  },
};

/** Kinds of items that are run. */
export const ITEM_TYPES: readonly string[] = ["text", ...Object.keys(EXPLICIT)];

/** What `readItems` leaves out, whether or not the rest can be run. */
export function readNotes(input: unknown): readonly string[] {
  const unused = listContent(input)
    .slice(0, MAX_ITEMS)
    .flatMap((item, index) => explainUnused(item, index) ?? []);
  return bound(unused);
}

/**
 * The work of `input.content`, or of the older `{"text": ...}` and of a bare string. Throws `invalid_request` with the
 * field.
 */
export function readItems(input: unknown): ReadItems {
  const content = listContent(input);
  check(z.array(z.unknown()).max(MAX_ITEMS), content, "input.content");
  const explicit: WorkItem[] = [];
  const texts: string[] = [];
  for (const [index, item] of content.entries()) {
    const kind = typeOf(item);
    const read = kind === undefined ? undefined : explicitReader(kind);
    const text = kind === "text" ? textOf(item) : undefined;
    if (read !== undefined) explicit.push(read(item as object, `input.content[${index}] (${kind})`));
    else if (text !== undefined) texts.push(text);
  }
  return { items: explicit.length > 0 ? explicit : describe(texts), notes: readNotes(input) };
}

const explicitReader = (kind: string): ReadItem | undefined =>
  Object.hasOwn(EXPLICIT, kind) ? EXPLICIT[kind] : undefined;

function textOf(item: unknown): string | undefined {
  const { content } = item as { readonly content?: unknown };
  return typeof content === "string" ? content : undefined;
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
  check(z.string().max(MAX_TEXT), description, "input.content (text)");
  return [{ work: { description }, field: "input.content (text)" }];
}

/** Undefined for an item that is used. */
function explainUnused(item: unknown, index: number): string | undefined {
  const kind = typeOf(item);
  const unused = `input.content[${index}]`;
  if (kind === undefined) return `${unused} has no type; it is stored and not used`;
  if (kind === "text")
    return textOf(item) === undefined
      ? `${unused} is a text without string content; it is stored and not used`
      : undefined;
  if (explicitReader(kind) !== undefined) return undefined;
  const known = ITEM_TYPES.join(", ");
  const type = JSON.stringify(kind.slice(0, 40));
  return `${unused} is of type ${type}, which nothing here runs (known: ${known}); it is stored and not used`;
}

function bound(notes: readonly string[]): string[] {
  if (notes.length <= MAX_NOTES) return [...notes];
  return [...notes.slice(0, MAX_NOTES), `${notes.length - MAX_NOTES} more items are not used`];
}
