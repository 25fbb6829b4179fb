/**
 * A sentence or list item of a description: lower case, web addresses blanked out, `at` is its place in the
 * description.
 */
export interface Sentence {
  readonly at: number;
  readonly text: string;
}

/** A description as recipes read it. */
export interface TaskText {
  /** Commands only: questions and requests to explain are left out. Of a long text the first sentences. */
  readonly sentences: readonly Sentence[];
  /** Web addresses in order, each once, without the punctuation around them. */
  readonly urls: readonly string[];
  /** All of it, lower case, web addresses blanked out. */
  readonly lower: string;
}

const URL_PATTERN = /https?:\/\/[^\s<>"'`|\\^{}]+/gi;
/** An end mark before a space, an empty line, or a line that begins a list item. */
const SENTENCE_END = /[.!?;](?=\s|$)|\n\s*\n|\n(?=\s*(?:[-*•]|\d+[.)])\s)/g;
const QUESTION = /^\W*(?:how|why|what|which|who|explain|describe|summari[sz]e|discuss)(?![\w'])/;
const POLITE = /^\W*(?:please\s+)?(?:can|could|would|will)\s+you(?![\w'])/;
const NEGATION =
  /(?:\b(?:not(?! only)|never|without|avoid|skip|cannot|instead of|rather than)|n't)(?:[^\w,]+\w+){0,3}[^\w,]*$/;
/** A negation further back than this belongs to something else. */
const NEGATION_REACH = 80;
/** Each recipe looks at each sentence, while nothing else runs. */
const MAX_SENTENCES = 1000;
const ACTIONS =
  "calculate|compute|find|get|determine|show|write|save|output|create|produce|list|group|print|report|aggregate|return|give|make|extract|identify|select|take";
const TABLE = /(?<![\w-])(?:csv|data|dataset|datasets|table|column|columns|dataframe|gdp)(?![\w-])|\.csv\b/;

export function readTaskText(description: string): TaskText {
  const urls = [...new Set([...description.matchAll(URL_PATTERN)].map(([url]) => trimUrl(url)))];
  // Only ASCII letters, so that every place stays where it was.
  const lower = description
    .replaceAll(URL_PATTERN, (url) => " ".repeat(url.length))
    .replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase());
  const sentences = splitSentences(lower).slice(0, MAX_SENTENCES);
  return { sentences: sentences.filter(({ text }) => !isQuestion(text)), urls, lower };
}

/** Where the first of the words stands in the sentence and is not negated; whole words only, `-1` when nowhere. */
export function findWord(sentence: string, words: string): number {
  for (const found of sentence.matchAll(new RegExp(`(?<![\\w-])(?:${words})(?![\\w-])`, "g"))) {
    if (!NEGATION.test(sentence.slice(Math.max(0, found.index - NEGATION_REACH), found.index))) return found.index;
  }
  return -1;
}

export function hasWord(sentence: string, words: string): boolean {
  return findWord(sentence, words) >= 0;
}

/** Where and how a description asks for something. */
export interface TaskRequest {
  /** Its place in the description. */
  readonly at: number;
  readonly sentence: string;
  /** The sentence from the word on that asks for it. */
  readonly after: string;
}

/** The first sentence that asks for it: with a verb and one of each of the other words. */
export function findRequest(text: TaskText, verbs: string, ...others: readonly string[]): TaskRequest | undefined {
  for (const { at, text: sentence } of text.sentences) {
    const verb = findWord(sentence, verbs);
    if (verb < 0 || !others.every((words) => hasWord(sentence, words))) continue;
    return { at: at + verb, sentence, after: sentence.slice(verb) };
  }
  return undefined;
}

/**
 * The first sentence that wants a figure over a table: the figure's word, a word that says per what, and an action or
 * the figure first.
 */
export function findTableRequest(text: TaskText, figures: string, markers: string): TaskRequest | undefined {
  if (!TABLE.test(text.lower)) return undefined;
  for (const { at, text: sentence } of text.sentences) {
    const figure = findWord(sentence, figures);
    if (figure < 0 || !hasWord(sentence.slice(figure), markers)) continue;
    if (!hasWord(sentence, ACTIONS) && sentence.slice(0, figure).trim() !== "") continue;
    return { at: at + figure, sentence, after: sentence.slice(figure) };
  }
  return undefined;
}

/** The column after `per`, `by` or `for each`, as a quoted name or one word. */
export function findGroup(after: string): string | undefined {
  const found = /(?<![\w-])(?:per|by|for each)\s+(?:the\s+)?(?:["'`]([^"'`\n]{1,100})["'`]|([a-z]\w*))/.exec(after);
  const word = found?.[1] ?? found?.[2];
  return word === undefined || /^(?:group|category of|each|value|maximum|max)$/.test(word) ? undefined : word;
}

/** The file named after one of the words, for example `from sales.csv`. */
export function findFile(text: string, before: string): string | undefined {
  const pattern = new RegExp(
    `(?<![\\w-])(?:${before})(?:\\s+(?:the|a|file|named|called))*\\s+["'\`]?([\\w][\\w./-]*\\.(?:csv|tsv|txt))\\b`,
  );
  const path = pattern.exec(text)?.[1];
  return path?.split("/").includes("..") ? undefined : path;
}

/** The port that a sentence names, as in `port 4000`. */
export function findPort(text: TaskText): number | undefined {
  const port = Number(/(?<![\w-])port\s+(\d{2,5})(?![\w-])/.exec(text.lower)?.[1]);
  return port >= 1024 && port <= 65_535 ? port : undefined;
}

function splitSentences(lower: string): Sentence[] {
  const sentences: Sentence[] = [];
  let at = 0;
  for (const end of lower.matchAll(SENTENCE_END)) {
    sentences.push({ at, text: lower.slice(at, end.index + 1) });
    at = end.index + end[0].length;
  }
  return [...sentences, { at, text: lower.slice(at) }];
}

function isQuestion(text: string): boolean {
  return !POLITE.test(text) && (text.trimEnd().endsWith("?") || QUESTION.test(text));
}

function trimUrl(url: string): string {
  const opening = url.indexOf("(");
  let end = url.length;
  while (end > 0) {
    const last = url[end - 1] ?? "";
    const unopened = last === ")" && (opening < 0 || opening >= end);
    if (!unopened && !/[.,;:!?*_~\]]/.test(last)) break;
    end -= 1;
  }
  return url.slice(0, end);
}
