import { expect, test } from "vitest";
import { z } from "zod";
import { findTool, TOOLS } from "../../src/tools/registry.ts";
import type { Tool } from "../../src/tools/tool.ts";

function tool(name: string): Tool {
  const found = findTool(name);
  if (found === undefined) throw new Error(`no tool ${name}`);
  return found;
}

/** `field: rule` of the first issue, or "ok". */
function check(name: string, input: unknown): string {
  const parsed = tool(name).input.safeParse(input);
  const issue = parsed.error?.issues[0];
  return issue === undefined ? "ok" : `${issue.path.join(".")}: ${issue.message}`;
}

test("registry - the thirteen tools have distinct names and are found by them", () => {
  expect(TOOLS.map(({ name }) => name)).toEqual([
    "write_file",
    "read_file",
    "list_files",
    "delete_file",
    "run_command",
    "run_python",
    "run_javascript",
    "install_packages",
    "http_request",
    "download_file",
    "s3_get",
    "s3_put",
    "read_csv",
  ]);
  expect(findTool("toString")).toBeUndefined();
});

test.each(TOOLS.map((one) => [one.name, one] as const))(
  "%s - every field is described and unknown fields are errors",
  (_name, one) => {
    const schema = z.toJSONSchema(one.input, { io: "input" }) as {
      properties: Record<string, { description?: string }>;
      additionalProperties: unknown;
    };
    expect(schema.additionalProperties).toBe(false);
    for (const [field, { description }] of Object.entries(schema.properties)) expect(description, field).toMatch(/\.$/);
  },
);

test.each([
  ["write_file", { path: "a" }, /^content: /],
  ["write_file", { path: "a\0b", content: "" }, /^path: .*NUL/],
  ["write_file", { path: "a", content: "not base64!", encoding: "base64" }, /^content: must be base64/],
  ["write_file", { path: "a", content: "", mode: "4755" }, /^mode: must be three octal digits/],
  ["write_file", { path: "a", content: "", owner: "root" }, /^: Unrecognized key: "owner"/],
  ["read_file", { path: "" }, /^path: /],
  ["run_command", { command: [] }, /^command: /],
  [
    "run_command",
    { command: "sleep 1", background: true, stdin: "x" },
    /^stdin: cannot be given to a background command/,
  ],
  ["run_command", { command: "true", env: { "A=B": "c" } }, /^env.A=B: /],
  ["run_python", { code: "1", context: "../x" }, /^context: must be/],
  [
    "install_packages",
    { manager: "pip", packages: ["ok", "--index-url=http://x"] },
    /^packages.1: must be a package name/,
  ],
  ["install_packages", { manager: "gem", packages: ["rails"] }, /^manager: /],
  ["http_request", { url: "ftp://example.com/" }, /^url: must be an http or https URL/],
  ["http_request", { url: "/hello" }, /^url: must be an http or https URL/],
  ["http_request", { url: "http://user:pw@example.com/" }, /^url: must be an http or https URL without user/],
  ["http_request", { url: "http://example.com/", headers: { "X-A": "a\r\nX-B: b" } }, /^headers.X-A: must be one line/],
  [
    "http_request",
    { url: "http://example.com/", headers: { "Transfer-Encoding": "chunked" } },
    /is set by the client itself|Invalid key/,
  ],
  ["download_file", { url: "http://example.com/", sha256: "abc" }, /^sha256: must be 64 hex digits/],
  ["s3_get", { key: "" }, /^key: /],
  ["s3_get", { key: "k", bucket: "Not a bucket" }, /^bucket: must be a bucket's name/],
  ["s3_put", { path: "p" }, /^key: /],
  ["s3_put", { path: "p", key: "k", url: "http://x/" }, /^: Unrecognized key: "url"/],
  ["read_csv", { path: "a.csv", limit: 0 }, /^limit: /],
])("%s - %j is refused with field and rule", (name, input, message) => {
  expect(check(name, input)).toMatch(message);
});

test.each([
  ["run_command", { command: "echo $HOME" }],
  ["run_command", { command: ["ls", "-l"], cwd: "sub", env: { A: "b" }, stdin: "x" }],
  ["http_request", { url: "/hello?x=1", port: 3000 }],
  ["http_request", { url: "https://example.com:8443/a?b#c", method: "HEAD" }],
  ["write_file", { path: "a", content: "aGk=", encoding: "base64", mode: "0755" }],
])("%s - %j is accepted", (name, input) => {
  expect(check(name, input)).toBe("ok");
});

test("commands - records show what ran without contents, headers or query strings", () => {
  const secret = "s3cr3t";
  const shown = [
    tool("write_file").command({ path: "a", content: secret }),
    tool("run_python").command({ code: secret, env: { K: secret } }),
    tool("run_command").command({ command: "ls -l", env: { K: secret }, stdin: secret }),
    tool("http_request").command({
      url: `https://h.example/p?token=${secret}`,
      headers: { Authorization: secret },
      body: secret,
    }),
    tool("download_file").command({ url: `https://h.example/p.csv?sig=${secret}#${secret}` }),
    tool("http_request").command({ url: "/hello", port: 3000, method: "POST" }),
  ];
  expect(JSON.stringify(shown)).not.toContain(secret);
  expect(shown).toEqual([
    ["write_file", "a"],
    ["python", "main.py"],
    ["/bin/bash", "-c", "ls -l"],
    ["http_request", "GET", "https://h.example/p?..."],
    ["download_file", "https://h.example/p.csv?..."],
    ["http_request", "POST", "/hello", "--port", "3000"],
  ]);
});

test("idempotency - what may run twice is declared per input", () => {
  const rows: [string, object, string][] = [
    ["write_file", { path: "a", content: "" }, "idempotent"],
    ["write_file", { path: "a", content: "", append: true }, "once"],
    ["write_file", { path: "a", content: "", exclusive: true }, "once"],
    ["delete_file", { path: "a" }, "once"],
    ["delete_file", { path: "a", missing_ok: true }, "idempotent"],
    ["run_command", { command: "true" }, "once"],
    ["run_python", { code: "" }, "once"],
    ["install_packages", { manager: "pip", packages: ["six"] }, "idempotent"],
    ["http_request", { url: "http://x/" }, "idempotent"],
    ["http_request", { url: "http://x/", method: "DELETE" }, "idempotent"],
    ["http_request", { url: "http://x/", method: "POST" }, "once"],
    ["http_request", { url: "http://x/", method: "PATCH" }, "once"],
    ["download_file", { url: "http://x/" }, "idempotent"],
    ["s3_get", { key: "k" }, "idempotent"],
    ["s3_put", { path: "p", key: "k" }, "idempotent"],
  ];
  for (const [name, input, expected] of rows)
    expect(tool(name).idempotency(input), `${name} ${JSON.stringify(input)}`).toBe(expected);
});
