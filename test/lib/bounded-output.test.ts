import fc from "fast-check";
import { expect, test } from "vitest";
import { BoundedOutput } from "../../src/lib/bounded-output.ts";

test("bounded output - within its limit nothing is lost, however it is cut", () => {
  fc.assert(
    fc.property(fc.array(fc.string({ maxLength: 30 }), { maxLength: 30 }), (parts) => {
      const output = new BoundedOutput(4096);
      for (const part of parts) output.push(Buffer.from(part));
      expect(output.text()).toBe(parts.join(""));
      expect(output.missingBytes).toBe(0);
    }),
  );
});

test("bounded output - above its limit head, tail and the count of the rest are exact", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 60 }), (sizes) => {
      const total = sizes.reduce((sum, size) => sum + size, 0);
      const whole = Buffer.from(Array.from({ length: total }, (_, index) => 97 + (index % 26)));
      const output = new BoundedOutput(100);
      let offset = 0;
      for (const size of sizes) {
        output.push(whole.subarray(offset, offset + size));
        offset += size;
      }
      expect(output.totalBytes).toBe(total);
      expect(output.missingBytes).toBe(Math.max(0, total - 100));
      if (total > 100) {
        expect(output.text().startsWith(whole.subarray(0, 50).toString())).toBe(true);
        expect(output.text().endsWith(whole.subarray(total - 50).toString())).toBe(true);
        expect(output.text()).toContain(`${total - 100} bytes left out`);
      }
    }),
  );
});

test("bounded output - a gap announced by the sender counts as missing", () => {
  const output = new BoundedOutput(10);
  output.push(Buffer.from("0123456789"));
  output.skip(1000);
  output.push(Buffer.from("tail!"));
  expect(output.totalBytes).toBe(1015);
  expect(output.text()).toBe("01234\n[... 1005 bytes left out ...]\ntail!");
});
