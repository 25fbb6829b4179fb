import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { readWork } from "../../src/agents/run/compile-input.ts";
import type { AgentSettings } from "../../src/model/agent.ts";

const settings: AgentSettings = {
  nodeType: "python",
  network: undefined,
  bare: undefined,
  limits: {},
  env: {},
  setup: undefined,
  instructions: undefined,
};

test("docs - every input that docs/responses.md shows is read, and leaves nothing out", () => {
  const text = readFileSync(new URL("../../docs/responses.md", import.meta.url), "utf8");
  const blocks = [...text.matchAll(/^```json\n(.*?)^```$/gms)].map(([, block = ""]): unknown => JSON.parse(block));
  const inputs = blocks.filter((block) => !Array.isArray(block));
  expect(inputs).toHaveLength(2);
  for (const input of inputs) expect(readWork(input, settings)).toMatchObject({ notes: [] });
});
