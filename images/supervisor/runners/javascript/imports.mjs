// Finds the word `import` where it is code. Neither form of it works in what the inspector evaluates (evaluate.mjs).

/** As long as `import`, so that columns stay; dotless, so that it meets no name that people write. */
export const DYNAMIC_IMPORT = "ımport";

const DECLARATION =
  /import\b\s*(?:(?<main>[\w$]+)\s*,?\s*)?(?:\*\s*as\s+(?<space>[\w$]+)\s*|\{(?<named>[^}]*)\}\s*)?(?:from\s*)?(?<quote>['"])(?<from>[^'"\n]+)\k<quote>(?:\s*with\s*(?<attributes>\{[^}]*\}))?[^\S\n]*;?/y;
const BEFORE_REGEX =
  /(?:^|[(,=:[!&|?{};+\-*%~^<>]|\b(?:return|typeof|case|in|of|delete|void|throw|new|await|yield))\s*$/;
const SKIPPED = {
  "//": /\/\/[^\n]*/y,
  "/*": /\/\*[\s\S]*?\*\//y,
  '"': /"(?:[^"\\\n]|\\[\s\S])*"/y,
  "'": /'(?:[^'\\\n]|\\[\s\S])*'/y,
  "/": /\/(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/y,
};
const WORD = /[\w$\u0080-\uffff]+/y;

/** `import(...)` becomes a call of another name, `import a from "b"` becomes `const ... = await ...`. */
export function rewriteImports(code) {
  let output = "";
  let done = 0;
  for (const { start, depth } of findImports(code)) {
    if (start < done) continue;
    const replaced = replaceImport(code, start, depth);
    if (replaced === null) continue;
    output += code.slice(done, start) + replaced.text;
    done = replaced.end;
  }
  return output + code.slice(done);
}

function replaceImport(code, start, depth) {
  if (/^import\s*\(/.test(code.slice(start, start + 200))) return { text: DYNAMIC_IMPORT, end: start + 6 };
  DECLARATION.lastIndex = start;
  const found = depth === 0 ? DECLARATION.exec(code) : null;
  if (found === null) return null;
  const lines = "\n".repeat(found[0].split("\n").length - 1);
  return { text: `${writeDeclaration(found.groups)};${lines}`, end: DECLARATION.lastIndex };
}

function writeDeclaration({ main, space, named, from, attributes }) {
  const source = JSON.stringify(from) + (attributes === undefined ? "" : `, {with: ${attributes}}`);
  const load = `await ${DYNAMIC_IMPORT}(${source})`;
  const names = [];
  if (main !== undefined) names.push(`default: ${main}`);
  if (named !== undefined) names.push(named.replaceAll(/\bas\b/g, ":").replaceAll(/\s+/g, " "));
  if (space === undefined) return names.length === 0 ? `void ${load}` : `const {${names.join(", ")}} = ${load}`;
  const rest = main === undefined ? "" : `, {default: ${main}} = ${space}`;
  return `const ${space} = ${load}${rest}`;
}

/** Every word `import` outside of strings, comments, templates and regular expressions, with its brace depth. */
function* findImports(code) {
  const templates = [];
  let depth = 0;
  for (let at = 0; at < code.length; ) {
    const letter = code[at];
    if (letter === "`" || (letter === "}" && templates.at(-1) === depth)) {
      if (letter === "}") templates.pop();
      const end = findTemplateEnd(code, at + 1);
      if (code[end] === "{") templates.push(depth);
      at = end + 1;
      continue;
    }
    if (letter === "{") depth += 1;
    if (letter === "}") depth -= 1;
    const word = match(WORD, code, at);
    if (word === "import" && code[at - 1] !== "." && code[at - 1] !== "#") yield { start: at, depth };
    at += word?.length ?? measureSkipped(code, at) ?? 1;
  }
}

/** The index of the closing backtick, or of the brace that opens a substitution. */
function findTemplateEnd(code, from) {
  for (let at = from; at < code.length; at += 1) {
    if (code[at] === "\\") at += 1;
    else if (code[at] === "`") return at;
    else if (code[at] === "$" && code[at + 1] === "{") return at + 1;
  }
  return code.length;
}

function measureSkipped(code, at) {
  const pair = code.slice(at, at + 2);
  const isRegex = code[at] === "/" && !(pair in SKIPPED);
  if (isRegex && !BEFORE_REGEX.test(code.slice(Math.max(0, at - 20), at))) return undefined;
  const pattern = SKIPPED[pair] ?? SKIPPED[code[at]];
  return pattern === undefined ? undefined : match(pattern, code, at)?.length;
}

function match(pattern, code, at) {
  pattern.lastIndex = at;
  return pattern.exec(code)?.[0];
}
