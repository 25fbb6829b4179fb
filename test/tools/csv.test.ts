import fc from "fast-check";
import { expect, test } from "vitest";
import { CsvCollector, type CsvOptions, type CsvTable } from "../../src/tools/csv.ts";

async function read(text: string | Buffer, options: Partial<CsvOptions> = {}, partBytes = 7): Promise<CsvTable> {
  const collector = new CsvCollector({ limit: 100, ...options });
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length && !collector.full; at += partBytes)
    await collector.push(bytes.subarray(at, at + partBytes));
  return await collector.finish();
}

test("csv - quotes, newlines in cells, a byte order mark and characters across parts are read right", async () => {
  const table = await read('\ufeffname,note\r\n"Ann ""A""","line 1\nline 2"\r\nZoë,–\r\n', {}, 1);
  expect(table).toEqual({
    columns: ["name", "note"],
    rows: [
      ['Ann "A"', "line 1\nline 2"],
      ["Zoë", "–"],
    ],
    truncated: false,
  });
});

test("csv - numbers stay text unless types are asked for", async () => {
  const text = "a,b,c,d,e\n007,1.50,,true,12345678901234567890\n";
  expect((await read(text)).rows).toEqual([["007", "1.50", "", "true", "12345678901234567890"]]);
  expect((await read(text, { types: true })).rows).toEqual([["007", 1.5, null, true, "12345678901234567890"]]);
});

test("csv - truncated is true exactly when a row is left out", async () => {
  expect(await read("a\n1\n2\n", { limit: 2 })).toEqual({ columns: ["a"], rows: [["1"], ["2"]], truncated: false });
  expect(await read("a\n1\n2\n3\n", { limit: 2 })).toEqual({ columns: ["a"], rows: [["1"], ["2"]], truncated: true });
});

test("csv - columns are picked in the order asked for; an unknown one names those there are", async () => {
  expect(await read("a;b;c\n1;2;3\n", { delimiter: ";", columns: ["c", "a"] })).toMatchObject({
    columns: ["c", "a"],
    rows: [["3", "1"]],
  });
  await expect(read("a,b\n1,2\n", { columns: ["z"] })).rejects.toThrow('no column "z"; the file has "a", "b"');
});

test("csv - a row of another length and an unclosed quote fail with the line, an empty file fails too", async () => {
  await expect(read("a,b\n1,2\n3\n")).rejects.toThrow(/line 3/);
  await expect(read('a,b\n"1,2\n')).rejects.toThrow(/[Qq]uote/);
  await expect(read("")).rejects.toThrow("empty");
  expect(await read("a,b\n")).toEqual({ columns: ["a", "b"], rows: [], truncated: false });
});

test("csv - reading is over soon after the last row that is wanted", async () => {
  const collector = new CsvCollector({ limit: 5 });
  const part = Buffer.from("1,2\n".repeat(1000));
  let parts = 0;
  await collector.push(Buffer.from("a,b\n"));
  for (; parts < 1000 && !collector.full; parts++) await collector.push(part);
  expect(parts).toBeLessThan(50);
  expect((await collector.finish()).rows).toHaveLength(5);
});

test("csv - any table written as CSV is read back the same, however it is cut", async () => {
  const cell = fc.string({ unit: "grapheme", maxLength: 8 }).map((text) => text.replaceAll(/[\r\ufeff]/g, "."));
  const tables = fc
    .integer({ min: 2, max: 4 })
    .chain((width) => fc.array(fc.array(cell, { minLength: width, maxLength: width }), { minLength: 1, maxLength: 6 }));
  await fc.assert(
    fc.asyncProperty(tables, fc.integer({ min: 1, max: 20 }), async (rows, partBytes) => {
      const text = rows.map((row) => `${row.map((one) => `"${one.replaceAll('"', '""')}"`).join(",")}\n`).join("");
      const table = await read(text, {}, partBytes);
      expect([table.columns, ...table.rows]).toEqual(rows);
    }),
    { numRuns: 200 },
  );
});
