import { expect, test } from "vitest";
import { OutputLog } from "../../src/keeper/output-log.ts";

const MIB = 1024 * 1024;

test("output log - keeps everything up to a MiB", () => {
  const log = new OutputLog();
  log.push(Buffer.from("one "));
  log.push(Buffer.from("two"));
  expect(log.read().toString()).toBe("one two");
});

test("output log - keeps exactly the last MiB of more, however it is cut", () => {
  for (const size of [1, 1000, 65_536, 3 * MIB]) {
    const all = Buffer.alloc(3 * MIB + 17, "0123456789abcdef");
    const log = new OutputLog();
    for (let offset = 0; offset < all.length; offset += size) log.push(all.subarray(offset, offset + size));
    expect(log.read().equals(all.subarray(-MIB))).toBe(true);
  }
});
