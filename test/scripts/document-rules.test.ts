import { expect, test } from "vitest";
import { checkDocuments, type Repository } from "../../scripts/document-rules.ts";

function repository(documents: Record<string, string>, sources: Record<string, string> = {}): Repository {
  return {
    paths: new Set(["docs", "docs/tasks.md", "docs/errors.md", ...Object.keys(documents)]),
    documents: new Map(Object.entries({ "docs/errors.md": "| `timeout` | 504 |", ...documents })),
    sources: new Map(Object.entries(sources)),
    npmScripts: ["check"],
    errorCodes: ["timeout"],
  };
}

test("document rules - documents that agree have no problem", () => {
  const text =
    "[t](tasks.md#x) [up](../docs/) [web](https://x.y/z) `[not](a-link)`\n```\n[nor](this)\n```\nnpm run check, PADDOCK_HOME";
  expect(
    checkDocuments(repository({ "docs/a.md": text }, { "src/a.ts": 'env["PADDOCK_HOME"]; // docs/tasks.md' })),
  ).toEqual([]);
});

test.each([
  ["a link that leads nowhere", { "docs/a.md": "[x](gone.md)" }, {}, "docs/a.md: the link to gone.md leads nowhere"],
  [
    "a page named in code",
    {},
    { "src/a.ts": "// see docs/gone.md" },
    "src/a.ts: names docs/gone.md, which does not exist",
  ],
  ["a script that does not exist", { "README.md": "`npm run fly`" }, {}, 'README.md: package.json has no script "fly"'],
  ["an undocumented code", { "docs/errors.md": "" }, {}, "docs/errors.md: lacks the code timeout"],
  [
    "a documented code that is gone",
    { "docs/errors.md": "| `timeout` |\n| `gone` |" },
    {},
    "docs/errors.md: there is no code gone",
  ],
  [
    "an undocumented variable",
    {},
    { "src/a.ts": "PADDOCK_X" },
    "PADDOCK_X is used by code and described in no document",
  ],
  [
    "a described variable that is gone",
    { "README.md": "PADDOCK_X" },
    {},
    "PADDOCK_X is described in a document and used by no code",
  ],
])("document rules - %s is reported", (_title, documents, sources, problem) => {
  expect(checkDocuments(repository(documents as Record<string, string>, sources as Record<string, string>))).toEqual([
    problem,
  ]);
});

test("documents - file names avoid excluded words, and lone participles that are no word of the page", () => {
  const words =
    "| word | meaning |\n|---|---|\n| setting | a |\n\n| not in file names | instead |\n|---|---|\n| `told` | report |\n";
  const paths = ["src/a/told-error.ts", "src/a/sharing.ts", "src/a/setting.ts", "src/a/chunked-body.ts"];
  const found = checkDocuments({ ...repository({ "docs/words.md": words }), paths: new Set(paths) });
  expect(found).toEqual([
    'src/a/told-error.ts: docs/words.md keeps "told" out of file names',
    "src/a/sharing.ts: a participle names no thing",
  ]);
});
