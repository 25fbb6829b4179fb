import { describe, expect, test } from "vitest";
import { readSettings, type SettingsRequest } from "../../src/agents/settings.ts";
import { PaddockError } from "../../src/errors/error.ts";

function errorOf(request: SettingsRequest): string {
  try {
    readSettings(request);
  } catch (error) {
    if (error instanceof PaddockError && error.code === "invalid_request") return error.message;
    throw error;
  }
  throw new Error("it was read");
}

describe("settings - the node type", () => {
  test.each<[string, Partial<SettingsRequest>, string]>([
    ["by default", {}, "python"],
    ["from metadata", { metadata: { node_type: "js" } }, "javascript"],
    [
      "from metadata over tags and name",
      { name: "task-1-python", tags: ["web"], metadata: { node_type: "file_ops" } },
      "file",
    ],
    ["from the first tag that is one", { tags: ["prod/x", "web_ops", "file"] }, "web"],
    ["from a tag over the name", { name: "task-1-python", tags: ["file"] }, "file"],
    ["from the name", { name: "task-1-python" }, "python"],
    ["from the name, in any case", { name: "Task-1-JavaScript" }, "javascript"],
    ["from the name of a file node", { name: "task-77-file-ops" }, "file"],
    ["from the name of a web node", { name: "crawler-web-ops" }, "web"],
    ["from a task's short name", { name: "task-7-file" }, "file"],
    ["not from a name that ends so by chance", { name: "worker-node" }, "python"],
    ["not from metadata that is no object", { metadata: ["node_type", "web"] }, "python"],
    ["not from a null", { metadata: { node_type: null } }, "python"],
  ])("%s", (_name, request, type) => expect(readSettings({ name: "demo", ...request }).nodeType).toBe(type));
});

test("settings - metadata may hold anything else, and only own keys count", () => {
  for (const metadata of [null, 3, "x", [], { paddock: { network: 3 } }, Object.create({ network: 3 })])
    expect(readSettings({ name: "demo", metadata })).toMatchObject({ network: undefined, bare: undefined, limits: {} });
});

test("settings - a workspace's size is rounded up to 16 MiB: an image is kept for each size", () => {
  const read = (workspace_bytes: number) =>
    readSettings({ name: "demo", metadata: { limits: { workspace_bytes, pids: 9 } } }).limits;
  expect(read(2 ** 24)).toEqual({ workspace_bytes: 2 ** 24, pids: 9 });
  expect(read(2 ** 24 + 1)).toEqual({ workspace_bytes: 2 ** 25, pids: 9 });
});

test("settings - network, bareness and limits from metadata; texts and environment", () => {
  const request = {
    name: "demo",
    metadata: { network: ["pypi", "example.org:443"], bare: true, limits: { memory_bytes: 2 ** 28 }, team: "x" },
    env: { A_1: "it's\n$HOME" },
    setup: "pip list",
    instructions: null,
  };
  expect(readSettings(request)).toEqual({
    nodeType: "python",
    network: ["pypi", "example.org:443"],
    bare: true,
    limits: { memory_bytes: 2 ** 28 },
    env: { A_1: "it's\n$HOME" },
    setup: "pip list",
    instructions: undefined,
  });
});

describe("settings - what is refused, by its field", () => {
  test.each<[string, Partial<SettingsRequest>, RegExp]>([
    ["a node type", { metadata: { node_type: "cobol" } }, /^metadata: node_type: unknown node type/],
    ["a policy of the wrong type", { metadata: { network: 3 } }, /^metadata: network: /],
    ["a policy that cannot be read", { metadata: { network: "http://x" } }, /^metadata: network: .*scheme/],
    ["bareness", { metadata: { bare: "yes" } }, /^metadata: bare: /],
    ["a limit", { metadata: { limits: { memory_bytes: 1 } } }, /^metadata: limits\.memory_bytes: /],
    ["an unknown limit", { metadata: { limits: { ram: 1 } } }, /^metadata: limits: .*ram/],
    ["a variable's name", { env: { "A-B": "x" } }, /^env: "A-B"/],
    ["a variable that would run", { env: { "X;id": "x" } }, /^env: "X;id"/],
    ["NUL", { env: { A: "x\0" } }, /^env: the value of A/],
    ["half a character", { env: { A: "\ud800" } }, /^env: the value of A/],
    ["too much environment", { env: { A: "x".repeat(33_000) } }, /^env: more than/],
    ["a setup of more than 1 MiB", { setup: "#".repeat(1024 * 1024 + 1) }, /^setup: /],
  ])("%s", (_name, request, message) => expect(errorOf({ name: "demo", ...request })).toMatch(message));

  test("no value of the environment stands in a message", () => {
    expect(errorOf({ name: "demo", env: { TOKEN: "s3cret\0" } })).not.toContain("s3cret");
  });
});
