import { expect, test } from "vitest";
import { TOOLS } from "../../src/tools/registry.ts";
import { renderFields } from "./schema-table.ts";

const INTRO = `# Tools

What a tool call can do. A task names tool calls as \`{"tool": NAME, "input": {...}}\` with optional \`title\`, \`timeout_ms\`, \`attempts\`
(default 3) and \`continue_on_failure\` (docs/tasks.md); inputs are checked before anything runs, and unknown fields are errors.

A call that fails runs again only when its tool says so below *and* the cause is one that another try may cure (a refused or broken
connection, a timeout of the request, HTTP 429 or 5xx, an installer's network failure). Every attempt stands in the record. A call that the
platform could not start is not counted as run. Programs and code never run again by themselves.

Paths are relative to the workspace, or absolute inside the sandbox. A tool's own result is the call's \`value\`.

This page is derived from \`src/tools/registry.ts\`: after a change run \`npx vitest run test/tools/docs.test.ts -u\`.
`;

const VALUES: Readonly<Record<string, string>> = {
  write_file: "`{path, bytes, sha256, created}`",
  read_file: "`{path, content, encoding, size, bytes, truncated}`",
  list_files: "`{entries: [{path, type, size, mode, mtime_ms, target}], truncated}`",
  delete_file: "`{path, removed}`: how many entries went",
  run_command: "`{pid}` for `background`, else none; stdout, stderr and exit code stand in the record",
  run_python: "the last expression as text; figures and rich objects come beside it, by MIME type",
  run_javascript: "the last expression as text",
  install_packages:
    "`{dependencies: [{manager, name, version}]}`, from pip's and npm's own reports; what was there already is not listed",
  http_request:
    "`{status, reason, headers, body, encoding, truncated, url, redirects}`; exit codes are curl's (22 for a status of 400 or more)",
  download_file: "`{path, bytes, sha256, status, url}`; `url` is the last one after redirects",
  s3_get: "`{path, bucket, key, bytes, sha256}`; exit codes are curl's",
  s3_put: "`{path, bucket, key, bytes, sha256}`; exit codes are curl's",
  read_csv: "`{columns, rows, truncated}`; a row is a list in the order of `columns`",
};

test("docs - docs/tools.md is what the registry says", async () => {
  const sections = TOOLS.map((tool) =>
    [
      `## ${tool.name}`,
      "",
      `${tool.title} (category \`${tool.category}\`). ${tool.description}`,
      "",
      renderFields(tool.input),
      "",
      `Value: ${VALUES[tool.name]}.`,
      "",
    ].join("\n"),
  );
  for (const { name } of TOOLS) expect(VALUES, name).toHaveProperty(name);
  await expect([INTRO, ...sections].join("\n")).toMatchFileSnapshot("../../docs/tools.md");
});
