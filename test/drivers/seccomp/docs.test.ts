import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { formatRulesTable } from "./rules-table.ts";

test("docs/seccomp.md holds the table that `node test/drivers/seccomp/rules-table.ts` prints", () => {
  const page = readFileSync(new URL("../../../docs/seccomp.md", import.meta.url), "utf8");
  const [, table] = /<!-- rules -->\n([\s\S]*?)\n<!-- end of rules -->/.exec(page) ?? [];
  expect(table).toBe(formatRulesTable());
});
