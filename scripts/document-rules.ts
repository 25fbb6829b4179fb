import { posix } from "node:path";

/** What documents are compared with. All paths are relative to the repository's root. */
export interface Repository {
  /** Every file and folder of the working tree. */
  readonly paths: ReadonlySet<string>;
  /** Markdown files by path. */
  readonly documents: ReadonlyMap<string, string>;
  /** Sources that may mention documents and environment variables, by path. */
  readonly sources: ReadonlyMap<string, string>;
  readonly npmScripts: readonly string[];
  readonly errorCodes: readonly string[];
}

/** Every disagreement between documents and code, one sentence each. */
export function checkDocuments(repository: Repository): string[] {
  return [
    ...checkLinks(repository),
    ...checkMentions(repository),
    ...checkNpmScripts(repository),
    ...checkErrorCodes(repository),
    ...checkVariables(repository),
    ...checkWords(repository),
  ];
}

/** Relative targets of Markdown links exist. */
function checkLinks({ documents, paths }: Repository): string[] {
  return [...documents].flatMap(([document, text]) =>
    [...withoutFences(text).matchAll(/\]\(([^)\s#]+)(?:#[^)\s]*)?\)/g)]
      .map(([, target = ""]) => target)
      .filter((target) => !/^[a-z]+:/.test(target))
      .filter((target) => !paths.has(posix.join(posix.dirname(document), target).replace(/\/$/, "")))
      .map((target) => `${document}: the link to ${target} leads nowhere`),
  );
}

/** A page that code or another page names exists. */
function checkMentions({ documents, sources, paths }: Repository): string[] {
  return [...documents, ...sources].flatMap(([file, text]) =>
    unique(text, /\bdocs\/[\w-]+\.md\b/g)
      .filter((page) => !paths.has(page))
      .map((page) => `${file}: names ${page}, which does not exist`),
  );
}

/** `npm run NAME` in a document is a script of package.json. */
function checkNpmScripts({ documents, npmScripts }: Repository): string[] {
  return [...documents].flatMap(([document, text]) =>
    unique(text, /\bnpm run (?:-s )?([\w:-]+)/g)
      .filter((name) => !npmScripts.includes(name))
      .map((name) => `${document}: package.json has no script "${name}"`),
  );
}

/** The first column of the table in docs/errors.md lists exactly the codes of src/errors/codes.ts. */
function checkErrorCodes({ documents, errorCodes }: Repository): string[] {
  const documented = unique(documents.get("docs/errors.md") ?? "", /^\|\s*`([a-z_]+)`\s*\|/gm);
  return [
    ...errorCodes.filter((code) => !documented.includes(code)).map((code) => `docs/errors.md: lacks the code ${code}`),
    ...documented
      .filter((code) => !errorCodes.includes(code))
      .map((code) => `docs/errors.md: there is no code ${code}`),
  ];
}

/**
 * File names below src/ avoid the words that docs/words.md excludes, and are no lone participle unless that page has
 * it.
 */
function checkWords({ documents, paths }: Repository): string[] {
  const [words = "", excluded = ""] = (documents.get("docs/words.md") ?? "").split(/^\| not in file names /m);
  const known = new Set([...words.matchAll(/^\| ([\w ]+) \|/gm)].map(([, word = ""]) => word));
  const refused = new Set([...excluded.matchAll(/`(\w+)`(?=.* \| )/g)].map(([, word = ""]) => word));
  return [...paths].flatMap((path) => {
    const name = /^src\/.*?([\w-]+)\.ts$/.exec(path)?.[1];
    if (name === undefined) return [];
    const bad = name.split("-").find((part) => refused.has(part));
    if (bad !== undefined) return [`${path}: docs/words.md keeps "${bad}" out of file names`];
    return /^\w+(?:ing|ed)$/.test(name) && !known.has(name) ? [`${path}: a participle names no thing`] : [];
  });
}

/** Each PADDOCK_* variable that code reads is described, and each one described is read. */
function checkVariables({ documents, sources }: Repository): string[] {
  const find = (texts: Iterable<string>): Set<string> =>
    new Set([...texts].flatMap((text) => unique(text, /\bPADDOCK_[A-Z][A-Z_]*\b/g)));
  const used = find(sources.values());
  const described = find(documents.values());
  return [
    ...[...used]
      .filter((name) => !described.has(name))
      .map((name) => `${name} is used by code and described in no document`),
    ...[...described]
      .filter((name) => !used.has(name))
      .map((name) => `${name} is described in a document and used by no code`),
  ];
}

const withoutFences = (text: string): string => text.replace(/^(```|~~~)[\s\S]*?^\1/gm, "").replace(/`[^`\n]*`/g, "");

/** The first group of each match, or the whole match, each once. */
const unique = (text: string, pattern: RegExp): string[] => [
  ...new Set([...text.matchAll(pattern)].map(([whole, group]) => group ?? whole)),
];
