/** Checks the imports of src/ against deps.json: `node scripts/check-imports.ts`. Prints each breach and exits 1 if there is one. */
import { glob, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { checkImports, importRulesSchema, type SourceFile } from "./import-rules.ts";

const root = new URL("../", import.meta.url);
const rules = importRulesSchema.parse(JSON.parse(await readFile(new URL("deps.json", root), "utf8")));

const files: SourceFile[] = [];
for await (const path of glob("**/*.ts", { cwd: fileURLToPath(new URL("src/", root)) })) {
  files.push({ path, text: await readFile(new URL(`src/${path}`, root), "utf8") });
}

const problems = checkImports(rules, files);
for (const problem of problems) console.error(problem);
console.error(`${files.length} files, ${problems.length} breaches of deps.json`);
process.exitCode = problems.length > 0 ? 1 : 0;
