import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { ERROR_CODES } from "../../src/errors/codes.ts";
import { PaddockError, toPaddockError } from "../../src/errors/error.ts";

function documentedRows(): Map<string, string[]> {
  const text = readFileSync(new URL("../../docs/errors.md", import.meta.url), "utf8");
  const rows = text.split("\n").filter((line) => line.startsWith("| `"));
  return new Map(
    rows
      .map((line) => line.split("|").map((cell) => cell.trim()))
      .map((cells) => [(cells[1] ?? "").replaceAll("`", ""), cells.slice(2, -1)]),
  );
}

test("errors - docs/errors.md lists every code with its status, retryability, exit code and hint", () => {
  const expected = new Map(
    Object.entries(ERROR_CODES).map(([code, row]) => [
      code,
      [String(row.httpStatus), row.retryable ? "yes" : "no", String(row.exitCode), row.hint],
    ]),
  );
  expect(documentedRows()).toEqual(expected);
});

test("errors - no platform exit code is in the range that belongs to guests, except those with a meaning of their own", () => {
  const codes = Object.values(ERROR_CODES).map((row) => row.exitCode);
  expect(codes.filter((code) => code < 64)).toEqual([]);
});

test("errors - what is thrown keeps its cause and becomes internal when it is not ours", () => {
  const cause = new TypeError("boom");
  const error = toPaddockError(cause);
  expect(error.toJSON()).toMatchObject({ code: "internal", message: "boom", retryable: false });
  expect(error.cause).toBe(cause);
  const ours = new PaddockError("timeout", "late", { hint: "wait" });
  expect(toPaddockError(ours)).toBe(ours);
  expect(ours.toJSON().hint).toBe("wait");
});
