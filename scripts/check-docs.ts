/** Compares documents with code: `node scripts/check-docs.ts`. Prints each disagreement and exits 1 if there is one. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { ERROR_CODES } from "../src/errors/codes.ts";
import { checkDocuments } from "./document-rules.ts";

process.chdir(fileURLToPath(new URL("../", import.meta.url)));

const files = execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
  encoding: "utf8",
})
  .split("\0")
  .filter((path) => path !== "" && existsSync(path));
const read = (pattern: RegExp): Map<string, string> =>
  new Map(files.filter((path) => pattern.test(path)).map((path) => [path, readFileSync(path, "utf8")]));

const manifest = z
  .object({ scripts: z.record(z.string(), z.string()) })
  .parse(JSON.parse(readFileSync("package.json", "utf8")));
const problems = checkDocuments({
  paths: new Set(files.flatMap((path) => [path, ...parentsOf(path)])),
  documents: read(/\.md$/),
  sources: read(/^(src|images|bench|bin)\/.*\.(ts|py|mjs)$|^(scripts|setup-templates)\/.*setup.*\.sh$/),
  npmScripts: Object.keys(manifest.scripts),
  errorCodes: Object.keys(ERROR_CODES),
});

for (const problem of problems) console.error(problem);
console.error(`${problems.length} disagreements`);
process.exitCode = problems.length > 0 ? 1 : 0;

function parentsOf(path: string): string[] {
  const parent = dirname(path);
  return parent === "." ? [] : [parent, ...parentsOf(parent)];
}
