import { parseSync, Visitor } from "oxc-parser";
import type { SourceFile } from "./import-rules.ts";

/** A literal that stands in one file only. */
interface Fact {
  readonly literal: RegExp;
  /** The file that may write it, below src/. */
  readonly home: string;
}

const FACTS: readonly Fact[] = [
  {
    literal: /^\/workspace$|\/opt\/paddock|^\/run\/paddock|\/etc\/paddock|^\/usr\/bin\/python3$/,
    home: "model/guest-paths.ts",
  },
  { literal: /^128000$/, home: "model/agent.ts" },
  { literal: /^(?:Agent|Response) not found$/, home: "errors/not-found.ts" },
];

/** Names of constants that one file declares. */
const NAMES: Readonly<Record<string, string>> = {
  KIB: "model/units.ts",
  MIB: "model/units.ts",
  GIB: "model/units.ts",
  TIB: "model/units.ts",
  MINUTE_MS: "model/units.ts",
  HOUR_MS: "model/units.ts",
  DAY_MS: "model/units.ts",
  NO_OUTPUT: "model/record.ts",
  PROTOCOL_VERSION: "sandbox/channel/frames.ts",
  SOFT_LIMIT_TOKENS: "model/agent.ts",
};

/** Every fact that is written a second time, one sentence each. Comments are not looked at. */
export function checkFacts(files: readonly SourceFile[]): string[] {
  return files.flatMap((file) => [...findLiterals(file), ...findNames(file)]);
}

function findLiterals(file: SourceFile): string[] {
  return listLiterals(file).flatMap((text) =>
    FACTS.filter(({ literal, home }) => home !== file.path && literal.test(text)).map(
      ({ home }) => `${file.path} writes ${JSON.stringify(text)}: src/${home} has it`,
    ),
  );
}

function findNames({ path, text }: SourceFile): string[] {
  return [...text.matchAll(/^\s*(?:export )?const (\w+)\b/gm)].flatMap(([, name = ""]) => {
    const home = Object.hasOwn(NAMES, name) ? NAMES[name] : undefined;
    return home === undefined || home === path ? [] : [`${path} declares ${name}: src/${home} has it`];
  });
}

/** Strings, templates with `{}` for what is put in, and numbers as decimal digits. */
function listLiterals({ path, text }: SourceFile): string[] {
  const found: string[] = [];
  new Visitor({
    Literal: ({ value }) => {
      if (typeof value === "string" || typeof value === "number") found.push(String(value));
    },
    TemplateLiteral: ({ quasis }) => found.push(quasis.map(({ value }) => value.raw).join("{}")),
  }).visit(parseSync(path, text).program);
  return found;
}
