import { posix } from "node:path";
import { parseSync, Visitor } from "oxc-parser";
import { z } from "zod";

const room = z.strictObject({ may: z.array(z.string()), why: z.string().min(1) });
const guard = z.strictObject({ from: z.array(z.string()), why: z.string().min(1) });

/** deps.json. A room is a folder or a file directly below src/, named without its extension. */
export const importRulesSchema = z.strictObject({
  about: z.string(),
  rooms: z.record(z.string(), room),
  guarded: z.record(z.string(), guard),
});

export type ImportRules = z.infer<typeof importRulesSchema>;

/** A source file; `path` is relative to src/, with its extension. */
export interface SourceFile {
  readonly path: string;
  readonly text: string;
}

/** The module specifiers of every import of a file: static, re-export, dynamic and type-only. Throws on a syntax error. */
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

/** Every breach of the rules, one sentence each; none when the files keep them. */
export function checkImports(rules: ImportRules, files: readonly SourceFile[]): string[] {
  const problems = [...checkNames(rules), ...findCycles(rules)];
  for (const file of files) {
    const from = withoutExtension(file.path);
    if (!rules.rooms[roomOf(from)]) problems.push(`${file.path}: the room "${roomOf(from)}" is not in deps.json`);
    for (const specifier of listImports(file)) {
      if (!specifier.startsWith(".")) continue;
      const to = withoutExtension(posix.join(posix.dirname(file.path), specifier));
      const problem = checkImport(rules, from, to);
      if (problem) problems.push(`${file.path} imports ${to}: ${problem}`);
    }
  }
  return problems;
}

function checkImport(rules: ImportRules, from: string, to: string): string | undefined {
  if (to.startsWith("../")) return "outside src/";
  for (const [path, { from: allowed, why }] of Object.entries(rules.guarded)) {
    if (isWithin(to, path) && !isWithin(from, path) && !allowed.includes(from))
      return `only ${allowed.join(", ")} may. ${why}`;
  }
  if (roomOf(from) === roomOf(to)) return undefined;
  const rule = rules.rooms[roomOf(from)];
  if (!rule || rule.may.some((entry) => entry === "*" || isWithin(to, entry))) return undefined;
  return `"${roomOf(from)}" may import ${rule.may.join(", ") || "nothing"}. ${rule.why}`;
}

function checkNames(rules: ImportRules): string[] {
  return Object.entries(rules.rooms).flatMap(([name, { may }]) =>
    may
      .filter((entry) => entry !== "*" && !rules.rooms[roomOf(entry)])
      .map((entry) => `deps.json: "${name}" may import "${entry}", which is in no room`),
  );
}

/**
 * Cycles between rooms, as "a -> b -> a". What the rules permit is checked, not what the files do today: without a cycle there,
 * no set of files that keeps the rules can have one.
 */
function findCycles(rules: ImportRules): string[] {
  const targets = ({ may }: { may: string[] }, name: string): string[] =>
    (may.includes("*") ? Object.keys(rules.rooms) : may.map(roomOf)).filter((target) => target !== name);
  const finished = new Set<string>();
  const visit = (name: string, trail: readonly string[]): string[] => {
    if (trail.includes(name))
      return [`deps.json: a cycle: ${[...trail.slice(trail.indexOf(name)), name].join(" -> ")}`];
    const rule = rules.rooms[name];
    if (!rule || finished.has(name)) return [];
    const cycles = targets(rule, name).flatMap((target) => visit(target, [...trail, name]));
    finished.add(name);
    return cycles;
  };
  return Object.keys(rules.rooms).flatMap((name) => visit(name, []));
}

const roomOf = (path: string): string => path.split("/", 1)[0] ?? path;
const withoutExtension = (path: string): string => path.replace(/\.[cm]?[jt]s$/, "");
const isWithin = (path: string, folder: string): boolean => path === folder || path.startsWith(`${folder}/`);
