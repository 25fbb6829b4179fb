import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { SECCOMP_RULES } from "../../../src/drivers/seccomp/rules.ts";
import { SYSCALL_NUMBERS } from "../../../src/drivers/seccomp/syscalls.ts";
import { lacks } from "../../support/needs.ts";

const X64_HEADER = "/usr/include/x86_64-linux-gnu/asm/unistd_64.h";
const GENERIC_HEADER = "/usr/include/asm-generic/unistd.h";

/** Names of the generic header that are no call of 64-bit arm: two counters, and a variant for other machines. */
const NOT_A_CALL = ["syscalls", "arch_specific_syscall", "sync_file_range2"];
/** 403 to 423 hold the 64-bit-time calls of 32-bit machines. */
const isFor32Bit = (number: number) => number >= 403 && number <= 423;

function readHeader(path: string): Map<string, number> {
  const numbers = new Map<string, number>();
  const lines = readFileSync(path, "utf8").matchAll(/^#define __NR(?:3264)?_(\w+)\s+(\d+)$/gm);
  for (const [, name = "", digits] of lines) numbers.set(name === "fstatat" ? "newfstatat" : name, Number(digits));
  return numbers;
}

function findDifferences(header: ReadonlyMap<string, number>, table: ReadonlyMap<string, number>): string[] {
  return [...header]
    .filter(([name, number]) => table.get(name) !== number)
    .map(([name, number]) => `${name}: header ${number}, table ${table.get(name)}`);
}

describe("system call tables", () => {
  test.skipIf(lacks(existsSync(X64_HEADER), X64_HEADER))("agree with the kernel's x64 header, name by name", () => {
    const header = readHeader(X64_HEADER);
    expect(header.size).toBeGreaterThan(350);
    expect(findDifferences(header, SYSCALL_NUMBERS.x64)).toEqual([]);
  });

  test.skipIf(lacks(existsSync(GENERIC_HEADER), GENERIC_HEADER))(
    "agree with the kernel's generic header for arm64, name by name",
    () => {
      const header = new Map(
        [...readHeader(GENERIC_HEADER)].filter(([name, number]) => !NOT_A_CALL.includes(name) && !isFor32Bit(number)),
      );
      expect(header.size).toBeGreaterThan(290);
      expect(findDifferences(header, SYSCALL_NUMBERS.arm64)).toEqual([]);
    },
  );

  test.each(["x64", "arm64"] as const)("give each %s number one name", (arch) => {
    const numbers = [...SYSCALL_NUMBERS[arch].values()];
    expect(new Set(numbers).size).toBe(numbers.length);
  });

  test("give calls from 424 on the same number everywhere", () => {
    const shared = (arch: "x64" | "arm64") => [...SYSCALL_NUMBERS[arch]].filter(([, number]) => number >= 424);
    expect(shared("x64")).toEqual(shared("arm64"));
    expect(SYSCALL_NUMBERS.x64.get("openat2")).toBe(437);
    expect(SYSCALL_NUMBERS.x64.get("listns")).toBe(470);
  });
});

describe("rules", () => {
  test("name every call once, and only calls that exist", () => {
    const names = SECCOMP_RULES.flatMap((rule) => rule.syscalls);
    expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
    expect(names.filter((name) => !SYSCALL_NUMBERS.x64.has(name) && !SYSCALL_NUMBERS.arm64.has(name))).toEqual([]);
  });

  test("test each argument once per case and only bits that the mask keeps, so that Docker's format can carry them", () => {
    for (const { when } of SECCOMP_RULES.flatMap((rule) => rule.cases ?? [])) {
      const tested = when.map(({ argument }) => argument);
      expect(new Set(tested).size).toBe(tested.length);
      for (const { mask = 0xffff_ffff, oneOf } of when) {
        expect(oneOf.every((value) => (value & mask) >>> 0 === value)).toBe(true);
      }
    }
  });
});
