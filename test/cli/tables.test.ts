import { expect, test } from "vitest";
import { oneLine, printable } from "../../src/cli/render/escape.ts";
import { showCommands } from "../../src/cli/render/guest-output.ts";
import { renderTable } from "../../src/cli/render/table.ts";

const ACTIVE = /(?!\n)[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;

test("tables - a row is one line, whatever its cells hold; styles pass", () => {
  const hostile = "report\n\u202egpj.exe\u2066\u2028\u001b[2J\u0007\ud800\ttail";
  const table = renderTable([{ title: "file" }, { title: "state" }], [[hostile, "\u001b[31mbad\u001b[0m"]]);
  expect(table.split("\n")).toEqual([
    expect.stringMatching(/^file +state$/),
    "report\\n\\u{202e}gpj.exe\\u{2066}\\u{2028}\\x1b[2J\\x07\\u{d800}\\ttail  \u001b[31mbad\u001b[0m",
  ]);
});

test("tables - columns stand below each other", () => {
  const rows = renderTable(
    [{ title: "a" }, { title: "b" }],
    [
      ["x\ny", "1"],
      ["long", "2"],
    ],
  ).split("\n");
  expect(rows.map((row) => row.search(/[b12]$/))).toEqual([6, 6, 6]);
});

test("lists - a name takes one line and turns nothing; a text keeps its lines", () => {
  for (let code = 0; code < 0x3000; code++) expect(oneLine(String.fromCodePoint(code))).not.toMatch(/[\n\u202e]/);
  expect(oneLine("a\nb\u202ec\u200b")).toBe("a\\nb\\u{202e}c\\u{200b}");
  expect(oneLine("Straße 日本 naïve")).toBe("Straße 日本 naïve");
  const text = printable("one\n\ttwo\u202e\u0000");
  expect([text, ACTIVE.test(text.replaceAll("\t", ""))]).toEqual(["one\n\ttwo\\u{202e}\\x00", false]);
});

test("guest output - marks that turn the direction are shown on a terminal", () => {
  expect(showCommands("a\u202eb\u2069")).toBe("a\\u{202e}b\\u{2069}");
});
