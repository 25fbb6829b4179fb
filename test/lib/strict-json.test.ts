import fc from "fast-check";
import { expect, test } from "vitest";
import { parseStrictJson } from "../../src/lib/strict-json.ts";

test("strict json - what JSON writes is read as JSON reads it", () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 6 }), (value) => {
      const text = JSON.stringify(value);
      fc.pre(!/"(__proto__|constructor)":/.test(text));
      expect(parseStrictJson(text)).toEqual(JSON.parse(text));
    }),
  );
});

test.each([
  ["a key twice", '{"a":1,"a":2}'],
  ["a key twice, once in escapes", '{"a":1,"\\u0061":2}'],
  ["a key twice, deep inside", '[{"b":{"a":1,"c":[],"a":2}}]'],
  ["__proto__", '{"__proto__":{"x":1}}'],
  ["__proto__ in escapes", '{"\\u005f_proto__":1}'],
  ["constructor", '{"x":[{"constructor":{"prototype":{}}}]}'],
  ["33 levels", `${"[".repeat(33)}${"]".repeat(33)}`],
  ["200,000 levels", "[".repeat(200_000)],
  ["200,000 levels of objects", '{"a":'.repeat(200_000)],
  ["too many values", `[${"1,".repeat(100_000)}1]`],
  ["too many keys", `[${Array.from({ length: 2001 }, () => '{"a":1,"b":2,"c":3,"d":4,"e":5}').join()}]`],
  ["nothing", ""],
  ["half a string", '{"a'],
  ["a tail", "{} {}"],
])("strict json - refuses %s", (_name, text) => {
  expect(() => parseStrictJson(text)).toThrow(SyntaxError);
});

test.each([
  ["32 levels", `${"[".repeat(32)}${"]".repeat(32)}`],
  ["the same key in two objects", '[{"a":1},{"a":2,"b":{"a":3}}]'],
  ["refused names as values", '["__proto__","constructor",{"a":"constructor"}]'],
  ["quotes, brackets and commas in strings", '{"a\\"{[,:":"\\\\","b":"}]\\\\\\"","c":["{",","]}'],
])("strict json - takes %s", (_name, text) => {
  expect(parseStrictJson(text)).toEqual(JSON.parse(text));
});
