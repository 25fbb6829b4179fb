import { posix } from "node:path";
import { parseSync, Visitor } from "oxc-parser";
import { z } from "zod";

/** `holds` is the room's line in ARCHITECTURE.md. */
const room = z.strictObject({ may: z.array(z.string()), holds: z.string().min(1), why: z.string().min(1).optional() });
const guard = z.strictObject({ from: z.array(z.string()), why: z.string().min(1) });
const folder = z.strictObject({ most: z.int().positive(), why: z.string().min(1) });

/**
 * deps.json. A room is a folder or a file of src/, named without its extension; a path belongs to the room with the
 * longest name. A room may import the rooms within it, and a room within another what that one may, besides its own.
 */
export const importRulesSchema = z.strictObject({
  about: z.string(),
  rooms: z.record(z.string(), room),
  guarded: z.record(z.string(), guard),
  folders: z.record(z.string(), folder),
});

export type ImportRules = z.infer<typeof importRulesSchema>;

/** A source file; `path` is relative to src/, with its extension. */
export interface SourceFile {
  readonly path: string;
  readonly text: string;
}

/**
 * The module specifiers of every import of a file: static, re-export, dynamic and type-only. Throws on a syntax error.
 */
export function listImports({ path, text }: SourceFile): string[] {
  const { program, errors } = parseSync(path, text);
  if (errors[0]) throw new Error(`${path}: ${errors[0].message}`);
  const found: string[] = [];
  const add = (source: { value?: unknown } | null): void => {
    if (typeof source?.value === "string") found.push(source.value);
  };
  new Visitor({
    ImportDeclaration: (node) => add(node.source),
    ExportAllDeclaration: (node) => add(node.source),
    ExportNamedDeclaration: (node) => add(node.source),
    ImportExpression: (node) => add(node.source.type === "Literal" ? node.source : null),
    TSImportType: (node) => add(node.source),
  }).visit(program);
  return found;
}

/** Files that a folder may hold without a reason in deps.json. */
const FOLDER_FILES = 16;

/** Every breach of the rules, one sentence each; none when the files keep them. */
export function checkImports(rules: ImportRules, files: readonly SourceFile[]): string[] {
  const problems = [...checkNames(rules), ...findRoomCircles(rules), ...checkFolders(rules, files)];
  const graph = new Map<string, string[]>();
  for (const file of files) {
    const from = withoutExtension(file.path);
    if (roomOf(rules, from) === undefined) problems.push(`${file.path}: no room of deps.json holds it`);
    const targets = listImports(file)
      .filter((specifier) => specifier.startsWith("."))
      .map((specifier) => withoutExtension(posix.join(posix.dirname(file.path), specifier)));
    graph.set(from, targets);
    for (const to of targets) {
      const problem = checkImport(rules, from, to);
      if (problem) problems.push(`${file.path} imports ${to}: ${problem}`);
    }
  }
  return [...problems, ...findCircles(graph).map((circle) => `a circle of files: ${circle}`)];
}

function checkImport(rules: ImportRules, from: string, to: string): string | undefined {
  if (to.startsWith("../")) return "outside src/";
  for (const [path, { from: allowed, why }] of Object.entries(rules.guarded)) {
    if (isWithin(to, path) && !isWithin(from, path) && !allowed.includes(from))
      return `only ${allowed.join(", ")} may. ${why}`;
  }
  const [own, target] = [roomOf(rules, from), roomOf(rules, to)];
  if (own === undefined || own === target || (target !== undefined && isWithin(target, own))) return undefined;
  const may = listAllowed(rules, own);
  if (may.some((entry) => isWithin(to, entry))) return undefined;
  return `"${own}" may import ${may.join(", ") || "nothing"}. ${rules.rooms[own]?.why ?? ""}`.trimEnd();
}

/** What a room and the rooms around it may import. */
function listAllowed(rules: ImportRules, name: string): string[] {
  return Object.entries(rules.rooms).flatMap(([other, { may }]) => (isWithin(name, other) ? may : []));
}

function checkNames(rules: ImportRules): string[] {
  return Object.entries(rules.rooms).flatMap(([name, { may }]) =>
    may
      .filter((entry) => roomOf(rules, entry) === undefined)
      .map((entry) => `deps.json: "${name}" may import "${entry}", which is in no room`),
  );
}

function checkFolders(rules: ImportRules, files: readonly SourceFile[]): string[] {
  const counts = new Map<string, number>();
  for (const { path } of files) counts.set(posix.dirname(path), (counts.get(posix.dirname(path)) ?? 0) + 1);
  return [...counts].flatMap(([path, count]) => {
    const most = rules.folders[path]?.most ?? FOLDER_FILES;
    return count > most ? [`${path}/ holds ${count} files; ${most} are its budget`] : [];
  });
}

/**
 * Circles between rooms, as "a -> b -> a". What the rules permit is checked, not what the files do today: without a
 * circle there, no set of files that keeps the rules can have one.
 */
function findRoomCircles(rules: ImportRules): string[] {
  const names = Object.keys(rules.rooms);
  const graph = new Map<string, string[]>();
  for (const name of names) {
    const inner = names.filter((other) => other !== name && isWithin(other, name));
    const named = listAllowed(rules, name).flatMap((entry) => [
      ...names.filter((other) => isWithin(other, entry)),
      ...[roomOf(rules, entry)].filter((other) => other !== undefined),
    ]);
    graph.set(
      name,
      [...new Set([...inner, ...named])].filter((other) => other !== name),
    );
  }
  return findCircles(graph).map((circle) => `deps.json: a circle: ${circle}`);
}

/** Circles of a graph, as "a -> b -> a", each node's first visit only. */
function findCircles(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const finished = new Set<string>();
  const visit = (node: string, trail: readonly string[]): string[] => {
    if (trail.includes(node)) return [[...trail.slice(trail.indexOf(node)), node].join(" -> ")];
    if (finished.has(node)) return [];
    const circles = (graph.get(node) ?? []).flatMap((target) => visit(target, [...trail, node]));
    finished.add(node);
    return circles;
  };
  return [...graph.keys()].flatMap((node) => visit(node, []));
}

/** The room with the longest name that holds `path`. */
function roomOf(rules: ImportRules, path: string): string | undefined {
  const parts = path.split("/");
  return parts.map((_, index) => parts.slice(0, parts.length - index).join("/")).find((name) => name in rules.rooms);
}

const withoutExtension = (path: string): string => path.replace(/\.[cm]?[jt]s$/, "");
const isWithin = (path: string, folder: string): boolean => path === folder || path.startsWith(`${folder}/`);
