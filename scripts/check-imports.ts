/**
 * Checks the imports of src/ against deps.json, the table of rooms in ARCHITECTURE.md, and that facts are written once:
 * `node scripts/check-imports.ts`. Prints each breach and exits 1 if there is one. `--write` makes the table anew.
 */
import { glob, readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { checkFacts } from "./fact-rules.ts";
import { checkImports, importRulesSchema, type SourceFile } from "./import-rules.ts";
import { placeRoomTable } from "./room-table.ts";

const root = new URL("../", import.meta.url);
const rules = importRulesSchema.parse(JSON.parse(await readFile(new URL("deps.json", root), "utf8")));

const files: SourceFile[] = [];
for await (const path of glob("**/*.ts", { cwd: fileURLToPath(new URL("src/", root)) })) {
  files.push({ path, text: await readFile(new URL(`src/${path}`, root), "utf8") });
}

const problems = [...checkImports(rules, files), ...checkFacts(files)];
const page = new URL("ARCHITECTURE.md", root);
const written = await readFile(page, "utf8");
const right = placeRoomTable(written, rules);
if (process.argv.includes("--write")) await writeFile(page, right);
else if (right !== written) problems.push("ARCHITECTURE.md: the table of rooms is not deps.json's; --write makes it");
for (const problem of problems) console.error(problem);
console.error(`${files.length} files, ${problems.length} breaches of its rules`);
process.exitCode = problems.length > 0 ? 1 : 0;
