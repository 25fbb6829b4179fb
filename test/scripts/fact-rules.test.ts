import { expect, test } from "vitest";
import { checkFacts } from "../../scripts/fact-rules.ts";

const check = (path: string, text: string): string[] => checkFacts([{ path, text }]);

test.each([
  ["a guest path", 'const path = "/opt/paddock/env";', "model/guest-paths.ts"],
  ["a guest path in a template", `const path = \`\${root}/opt/paddock/\${name}\`;`, "model/guest-paths.ts"],
  ["the workspace", 'mount("/workspace");', "model/guest-paths.ts"],
  ["the limit of a context", "if (tokens > 128_000) refuse();", "model/agent.ts"],
  ["a sentence of the contract", 'throw new Error("Agent not found");', "errors/not-found.ts"],
  ["a unit", "const MIB = 1024 * 1024;", "model/units.ts"],
  ["a named fact", "export const PROTOCOL_VERSION = 2;", "sandbox/channel/frames.ts"],
])("fact rules - a second literal of %s is a breach, and its home is named", (_title, text, home) => {
  expect(check("fleet/a.ts", text)).toEqual([expect.stringMatching(new RegExp(`^fleet/a.ts .*: src/${home} has it$`))]);
  expect(check(home, text)).toEqual([]);
});

test.each([
  ["a comment", "/** Mounted at /opt/paddock; 128_000 */ const a = 1; // Agent not found"],
  ["a longer path", `const path = "/workspace-of-others"; const other = \`\${root}/workspace\`;`],
  ["another number", "const wait = 128_001;"],
  ["an import of the fact", 'import { MIB } from "../model/units.ts"; const bytes = 4 * MIB;'],
])("fact rules - %s is none", (_title, text) => {
  expect(check("fleet/a.ts", text)).toEqual([]);
});
