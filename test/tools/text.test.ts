import { expect, test } from "vitest";
import { nameFromUrl } from "../../src/tools/download-file.ts";
import { type Expectation, replyOutcome } from "../../src/tools/http-reply.ts";
import { decodeText } from "../../src/tools/text.ts";
import type { ToolContext, ToolOutcome } from "../../src/tools/tool.ts";

test("text - valid UTF-8 is text, other bytes are base64, a cut character is left out only when the file goes on", () => {
  const euro = Buffer.from("a€");
  expect(decodeText(euro, "auto", false)).toEqual({ content: "a€", encoding: "utf8" });
  expect(decodeText(euro.subarray(0, 3), "auto", true)).toEqual({ content: "a", encoding: "utf8" });
  expect(decodeText(euro.subarray(0, 3), "auto", false)).toEqual({ content: "YeKC", encoding: "base64" });
  expect(decodeText(euro, "base64", false)).toEqual({ content: "YeKCrA==", encoding: "base64" });
  expect(decodeText(Buffer.from([0xff]), "utf8", false)).toEqual({ content: "\ufffd", encoding: "utf8" });
});

test.each([
  ["https://h/a/gdp.csv?raw=true&x=/y.txt", "gdp.csv"],
  ["https://h/a/b/", "b"],
  ["https://h/", "download"],
  ["https://h/%2e%2e%2fetc%2fpasswd", "etc_passwd"],
  ["https://h/.bashrc", "bashrc"],
  ["https://h/-rf", "rf"],
  ["https://h/r%C3%A9sum%C3%A9%20(1).pdf", "résumé_1_.pdf"],
  ["https://h/%00%0a$(id)", "id_"],
  ["https://h/%ff", "ff"],
])("download name - %s becomes %s", (url, name) => {
  expect(nameFromUrl(url)).toBe(name);
});

const context = { limits: { outputBytes: 1000 } } as ToolContext;

function judge(status: number, body: string, expectation?: Expectation): ToolOutcome {
  const reply = {
    status,
    reason: "",
    headers: [],
    body,
    encoding: "utf8",
    bytes: body.length,
    truncated: false,
  } as const;
  return replyOutcome(reply, expectation, { url: "http://h/", redirects: 0, requestBytes: 0 }, context);
}

test("http reply - 400 and more fails as curl does; 429 and 5xx may be tried again", () => {
  const rows = [200, 304, 404, 429, 503].map((status) => [
    judge(status, "").exitCode,
    judge(status, "").retryable ?? false,
  ]);
  expect(rows).toEqual([
    [0, false],
    [0, false],
    [22, false],
    [22, true],
    [22, true],
  ]);
});

test("http reply - an expectation decides instead of the status and names what differs", () => {
  expect(judge(404, "", { status: 404 }).exitCode).toBe(0);
  expect(judge(200, "", { status: 201 })).toMatchObject({
    exitCode: 1,
    stderr: { text: "the server answered 200, expected 201\n" },
  });
  const body = JSON.stringify({ message: "hi", list: [1, { a: null }], more: true });
  expect(judge(200, body, { json: { message: "hi", list: [1, { a: null }] } }).exitCode).toBe(0);
  expect(judge(200, body, { json: { message: "ho" } }).stderr.text).toBe(
    'member message of the answer is "hi", expected "ho"\n',
  );
  expect(judge(200, body, { json: { toString: 1 } }).stderr.text).toBe(
    "member toString of the answer is undefined, expected 1\n",
  );
  expect(judge(200, "[]", { json: {} }).stderr.text).toBe("the answer is no JSON object\n");
});
