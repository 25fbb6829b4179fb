import fc from "fast-check";
import { expect, test } from "vitest";
import { assembleBpf, type Instruction } from "../../../src/drivers/seccomp/assemble.ts";
import { compileSeccomp } from "../../../src/drivers/seccomp/bpf.ts";
import { AUDIT_ARCH, findLoadFaults, runFilter } from "./interpreter.ts";

const fill = (count: number): Instruction[] =>
  Array.from({ length: count }, () => ({ kind: "and", mask: 0xffff_ffff }));

/** Returns 1 for number 7 and 2 otherwise, with `gap` idle instructions between the test and each return. */
function branchOver(yesGap: number, noGap: number): Buffer {
  return assembleBpf([
    { kind: "load", offset: 0 },
    { kind: "jumpIf", test: "equal", value: 7, yes: "yes", no: "no" },
    ...fill(yesGap),
    { kind: "label", name: "yes" },
    { kind: "return", value: 1 },
    ...fill(noGap),
    { kind: "label", name: "no" },
    { kind: "return", value: 2 },
  ]);
}

const run = (program: Buffer, number: number) => runFilter(program, { auditArch: AUDIT_ARCH.x64, number }).value;

test("branches land on their labels at every distance around the reach of 8 bits", () => {
  for (const yesGap of [0, 1, 253, 254, 255, 256, 257, 1000]) {
    for (const noGap of [0, 1, 253, 254, 255, 256, 1000]) {
      const program = branchOver(yesGap, noGap);
      expect(findLoadFaults(program)).toEqual([]);
      expect([run(program, 7), run(program, 8)]).toEqual([1, 2]);
    }
  }
});

test("a jump that must grow because another one grew still lands right", () => {
  const program = assembleBpf([
    { kind: "load", offset: 0 },
    { kind: "jumpIf", test: "equal", value: 1, yes: "one" },
    { kind: "jumpIf", test: "equal", value: 2, yes: "two" },
    ...fill(254),
    { kind: "label", name: "one" },
    { kind: "return", value: 11 },
    ...fill(2),
    { kind: "label", name: "two" },
    { kind: "return", value: 22 },
  ]);
  expect(findLoadFaults(program)).toEqual([]);
  expect([run(program, 1), run(program, 2)]).toEqual([11, 22]);
});

test("random chains of comparisons decide like the list they were made from", () => {
  const chain = fc.uniqueArray(fc.nat({ max: 2000 }), { minLength: 1, maxLength: 400 });
  fc.assert(
    fc.property(chain, fc.nat({ max: 2000 }), (values, number) => {
      const program = assembleBpf([
        { kind: "load", offset: 0 },
        ...values.map((value): Instruction => ({ kind: "jumpIf", test: "equal", value, yes: `is ${value}` })),
        { kind: "return", value: 5000 },
        ...values.flatMap((value): Instruction[] => [
          { kind: "label", name: `is ${value}` },
          { kind: "return", value },
        ]),
      ]);
      expect(findLoadFaults(program)).toEqual([]);
      expect(run(program, number)).toBe(values.includes(number) ? number : 5000);
    }),
    { numRuns: 60 },
  );
});

test("a missing label, a backward jump and an oversized program are refused", () => {
  expect(() => assembleBpf([{ kind: "jump", to: "nowhere" }])).toThrow("nowhere is missing");
  expect(() =>
    assembleBpf([
      { kind: "label", name: "top" },
      { kind: "jump", to: "top" },
    ]),
  ).toThrow("behind its jump");
  expect(() => assembleBpf(fill(4097))).toThrow("4097 instructions");
});

test("rules that name an unknown call, or a call twice, are refused", () => {
  const rule = { group: "g", action: "allow", reason: "r" } as const;
  expect(() => compileSeccomp("x64", [{ ...rule, syscalls: ["raed"] }])).toThrow("raed");
  expect(() =>
    compileSeccomp("x64", [
      { ...rule, syscalls: ["read"] },
      { ...rule, action: "EPERM", syscalls: ["read"] },
    ]),
  ).toThrow("two rules name read");
});
