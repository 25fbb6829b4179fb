import { execFileSync } from "node:child_process";
import fc from "fast-check";
import { expect, test } from "vitest";
import { quoteBash, quoteWords } from "../../src/setup/quote.ts";

/** Prints each argument and a NUL through a real bash, in the given locale. */
function echoThroughBash(words: string, locale: string): string[] {
  const output = execFileSync("bash", ["--norc", "-c", `printf '%s\\0' ${words}`], {
    encoding: "utf8",
    env: { LC_ALL: locale, PATH: "/usr/bin:/bin" },
  });
  return output.split("\0").slice(0, -1);
}

const text = fc
  .oneof(
    fc.string({ unit: "binary", maxLength: 40 }),
    fc.string({
      unit: fc.constantFrom("'", '"', "\\", "$", "`", "\n", "\t", "!", "~", "-", "*", " ", "7", "é", "…", "\u{1f600}"),
      maxLength: 20,
    }),
  )
  .filter((value) => !value.includes("\0"));

test("setup quoting - any words reach a real bash unchanged, in UTF-8 and in C", () => {
  fc.assert(
    fc.property(fc.array(text, { minLength: 1, maxLength: 30 }), fc.constantFrom("C.UTF-8", "C"), (words, locale) => {
      expect(echoThroughBash(quoteWords(words), locale)).toEqual(words);
    }),
    { numRuns: 150 },
  );
});

test("setup quoting - a quoted word is one line of printable ASCII", () => {
  fc.assert(fc.property(text, (word) => /^[ -~]*$/.test(quoteBash(word))));
});

test("setup quoting - text that no bash word can hold is refused", () => {
  expect(() => quoteBash("a\0b")).toThrow(TypeError);
  expect(() => quoteWords(["a", "\ud800"])).toThrow(TypeError);
});
