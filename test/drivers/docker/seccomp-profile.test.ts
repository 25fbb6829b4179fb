import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  makeGvisorProfile,
  makeSeccompProfile,
  type SeccompProfile,
} from "../../../src/drivers/docker/seccomp/profile.ts";
import { compileSeccomp } from "../../../src/drivers/seccomp/bpf.ts";
import { SECCOMP_RULES } from "../../../src/drivers/seccomp/rules.ts";
import { type SeccompArch, SYSCALL_NUMBERS } from "../../../src/drivers/seccomp/syscalls.ts";
import { AUDIT_ARCH, nameOutcome, runFilter } from "../seccomp/interpreter.ts";
import { GUARDED } from "../seccomp/policy-by-number.ts";

const ERRNO_NAMES: Readonly<Record<number, string>> = {
  1: "EPERM",
  38: "ENOSYS",
  93: "EPROTONOSUPPORT",
  97: "EAFNOSUPPORT",
};

/**
 * Docker's profile as documented, read without our compiler: a rule matches when each masked 64-bit comparison holds,
 * and no two rules with different actions may match one call, because libseccomp gives them no order.
 */
function judge(profile: SeccompProfile, name: string, args: readonly bigint[]): string {
  const matching = profile.syscalls.filter(
    ({ names, args: tests = [] }) =>
      names.includes(name) &&
      tests.every(({ index, value, valueTwo, op }) => {
        expect(op).toBe("SCMP_CMP_MASKED_EQ");
        return (BigInt.asUintN(64, args[index] ?? 0n) & BigInt(value)) === BigInt(valueTwo);
      }),
  );
  const describeAction = (action: string, errno: number | undefined): string =>
    action === "SCMP_ACT_ALLOW"
      ? "allow"
      : action === "SCMP_ACT_ERRNO"
        ? (ERRNO_NAMES[errno ?? 1] ?? String(errno))
        : "kill";
  const outcomes = new Set(matching.map(({ action, errnoRet }) => describeAction(action, errnoRet)));
  expect(outcomes.size).toBeLessThanOrEqual(1);
  return [...outcomes][0] ?? describeAction(profile.defaultAction, profile.defaultErrnoRet);
}

const INTERESTING = [
  ...[0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 15, 16, 17, 38, 40, 132, 0x5412, 0x5413, 0x541c, 0x8000, 0x40000, 0x2000_0000],
  ...[0x1000, 0x2000, 0x6000, 0x81a4, 0xc1ff, 0x1000_0011, 0x7e02_0080, 0x8000_0000, 0xffff_fffe, 0xffff_ffff],
].flatMap((value) => [BigInt(value), BigInt(value) | (1n << 32n), BigInt(value) | (0xffff_ffffn << 32n)]);

describe.each(["x64", "arm64"] as const)("Docker's profile for %s", (arch: SeccompArch) => {
  const program = compileSeccomp(arch);
  const profile = makeSeccompProfile(arch);
  const filter = (number: number, args: readonly bigint[]): string =>
    nameOutcome(runFilter(program, { auditArch: AUDIT_ARCH[arch], number, args }).value);

  test("decides every call as the BPF filter does, without arguments", () => {
    for (const [name, number] of SYSCALL_NUMBERS[arch]) {
      expect([name, judge(profile, name, [])]).toEqual([name, filter(number, [])]);
    }
  });

  test("decides the calls whose arguments matter as the BPF filter does", () => {
    const guarded = Object.entries(GUARDED[arch]).flatMap(([name, number]) =>
      number === undefined ? [] : [[name, number] as const],
    );
    const argument = fc.oneof(fc.constantFrom(...INTERESTING), fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }));
    fc.assert(
      fc.property(fc.constantFrom(...guarded), fc.tuple(argument, argument, argument), ([name, number], args) => {
        expect(judge(profile, name, args)).toBe(filter(number, args));
      }),
      { numRuns: 4000 },
    );
    for (const [name, number] of guarded)
      for (const first of INTERESTING)
        for (const second of [0n, 1n, 2n, 3n, 0x5412n, 1n << 32n])
          expect([name, first, judge(profile, name, [first, second, 0n])]).toEqual([
            name,
            first,
            filter(number, [first, second, 0n]),
          ]);
  });

  test("names one architecture, tests an argument once per rule, and fits what gVisor's filter can hold", () => {
    expect(profile.architectures).toEqual([arch === "x64" ? "SCMP_ARCH_X86_64" : "SCMP_ARCH_AARCH64"]);
    for (const { args = [] } of profile.syscalls)
      expect(new Set(args.map(({ index }) => index)).size).toBe(args.length);
    expect(profile.syscalls.length).toBeLessThan(600);
  });

  test("gVisor's form allows what the filter allows, and clone3, and nothing else", () => {
    const gvisor = makeGvisorProfile(arch);
    for (const [name, number] of SYSCALL_NUMBERS[arch]) {
      const isAllowed = filter(number, []) === "allow" || name === "clone3";
      expect([name, judge(gvisor, name, [])]).toEqual([name, isAllowed ? "allow" : "EPERM"]);
    }
  });
});

test("a rule that is lost changes the verdict, so the comparison above can fail", () => {
  const weaker = makeSeccompProfile(
    "x64",
    SECCOMP_RULES.filter(({ syscalls }) => !syscalls.includes("ioctl")),
  );
  expect(judge(weaker, "ioctl", [0n, 0n])).toBe("ENOSYS");
  expect(judge(makeSeccompProfile("x64"), "ioctl", [0n, 0n])).toBe("allow");
});
