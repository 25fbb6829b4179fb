import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compileSeccomp } from "../../../src/drivers/seccomp/bpf.ts";
import { AUDIT_ARCH, findLoadFaults, nameOutcome, runFilter } from "./interpreter.ts";
import { ALLOWED_NUMBERS, FLOOR, GUARDED, HOT } from "./policy-by-number.ts";

const ARCHES = ["x64", "arm64"] as const;
const PROGRAMS = { x64: compileSeccomp("x64"), arm64: compileSeccomp("arm64") };
type Arch = (typeof ARCHES)[number];

function judge(arch: Arch, number: number, ...args: (bigint | number)[]): string {
  const call = { auditArch: AUDIT_ARCH[arch], number, args: args.map(BigInt) };
  return nameOutcome(runFilter(PROGRAMS[arch], call).value);
}

const anyArgument = fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn });
const anyArguments = fc.array(anyArgument, { minLength: 6, maxLength: 6 });
const low32 = (value: bigint) => Number(value & 0xffff_ffffn);
/** Values near the ones the policy knows, with and without garbage in the upper half. */
const nearArgument = fc
  .tuple(fc.oneof(fc.integer({ min: 0, max: 64 }), fc.integer({ min: 0x5400, max: 0x5430 })), fc.nat({ max: 3 }))
  .map(([low, high]) => BigInt(low) + (BigInt(high) << 32n));
const trickyArguments = fc.array(fc.oneof(nearArgument, anyArgument), { minLength: 6, maxLength: 6 });

describe.each(ARCHES)("the %s program", (arch) => {
  const guarded = GUARDED[arch];
  const floor = FLOOR.filter(({ numbers }) => numbers[arch] !== undefined);

  test("is one that the kernel loads", () => {
    expect(findLoadFaults(PROGRAMS[arch])).toEqual([]);
  });

  test("is refused by the kernel's rules when cut short anywhere", () => {
    for (let length = 8; length < PROGRAMS[arch].length; length += 8) {
      expect(findLoadFaults(PROGRAMS[arch].subarray(0, length))).not.toEqual([]);
    }
  });

  test.each(floor)("refuses $name with $errno", ({ numbers, errno }) => {
    expect(judge(arch, numbers[arch] ?? -1)).toBe(errno);
  });

  test("never allows a floor call, whatever the arguments", () => {
    fc.assert(
      fc.property(fc.constantFrom(...floor), anyArguments, ({ numbers, errno }, args) => {
        expect(judge(arch, numbers[arch] ?? -1, ...args)).toBe(errno);
      }),
      { numRuns: 2000 },
    );
  });

  test("gives every number from 0 to 600 exactly its action", () => {
    const expected = new Map<number, string>(ALLOWED_NUMBERS[arch].map((number) => [number, "allow"]));
    for (const { numbers, errno } of floor) expected.set(numbers[arch] ?? -1, errno);
    const skipped = new Set<number | undefined>(Object.values(guarded));
    for (let number = 0; number <= 600; number += 1) {
      if (skipped.has(number)) continue;
      expect([number, judge(arch, number)]).toEqual([number, expected.get(number) ?? "ENOSYS"]);
    }
  });

  test("answers ENOSYS to every number above the tables, the x32 range and -1 included", () => {
    const low = [471, 511, 512, 547, 548, 0x3fff_ffff];
    const x32 = [0x4000_0000, 0x4000_0001, 0x4000_0000 + 41, 0x4000_0000 + 520, 0x7fff_ffff, 0xffff_ffff];
    for (const number of [...low, ...x32]) expect(judge(arch, number)).toBe("ENOSYS");
    fc.assert(
      fc.property(fc.integer({ min: 471, max: 0xffff_ffff }), anyArguments, (number, args) => {
        expect(judge(arch, number, ...args)).toBe("ENOSYS");
      }),
    );
  });

  test("kills a process that calls by another architecture's numbers, whatever the call", () => {
    const foreign = Object.values(AUDIT_ARCH).filter((auditArch) => auditArch !== AUDIT_ARCH[arch]);
    fc.assert(
      fc.property(fc.constantFrom(...foreign, 0), fc.integer({ min: 0, max: 600 }), (auditArch, number) => {
        expect(nameOutcome(runFilter(PROGRAMS[arch], { auditArch, number }).value)).toBe("kill");
      }),
    );
  });

  test("executes at most 14 instructions for read, write, futex and openat", () => {
    for (const number of Object.values(HOT[arch])) {
      const { value, steps } = runFilter(PROGRAMS[arch], { auditArch: AUDIT_ARCH[arch], number });
      expect(nameOutcome(value)).toBe("allow");
      expect(steps).toBeLessThanOrEqual(14);
    }
  });

  describe("clone", () => {
    test.each([
      ["NEWTIME", 0x80],
      ["NEWNS", 0x20000],
      ["NEWCGROUP", 0x2000000],
      ["NEWUTS", 0x4000000],
      ["NEWIPC", 0x8000000],
      ["NEWUSER", 0x10000000],
      ["NEWPID", 0x20000000],
      ["NEWNET", 0x40000000],
    ])("is refused with CLONE_%s, alone, beside other flags and with the upper half set", (_name, flag) => {
      expect(judge(arch, guarded.clone, flag)).toBe("EPERM");
      expect(judge(arch, guarded.clone, flag | 0x11 | 0x100)).toBe("EPERM");
      expect(judge(arch, guarded.clone, BigInt(flag) | (0xffff_ffffn << 32n))).toBe("EPERM");
    });

    test("serves fork, vfork, posix_spawn and threads as the C libraries call it", () => {
      const SIGCHLD = 17;
      const forkFlags = 0x01200000 | SIGCHLD;
      const spawnFlags = 0x4100 | SIGCHLD;
      const threadFlags = 0x3d0f00;
      for (const flags of [SIGCHLD, forkFlags, spawnFlags, threadFlags])
        expect(judge(arch, guarded.clone, flags)).toBe("allow");
    });

    test("is decided by the namespace flags alone", () => {
      fc.assert(
        fc.property(anyArguments, (args) => {
          const hasNamespace = (low32(args[0] ?? 0n) & 0x7e028080) !== 0;
          expect(judge(arch, guarded.clone, ...args)).toBe(hasNamespace ? "EPERM" : "allow");
        }),
      );
    });
  });

  test("refuses filters of calls and of sockets, whatever the high bits are, and nothing else of their calls", () => {
    for (const high of [0n, 1n, 0xffff_ffffn]) {
      expect(judge(arch, guarded.prctl, (high << 32n) | 22n, 2)).toBe("EPERM");
      for (const option of [26n, 50n, 51n, 52n])
        expect(judge(arch, guarded.setsockopt, 3, (high << 32n) | 1n, (high << 32n) | option)).toBe("EPERM");
    }
    for (const option of [1, 4, 15, 21, 23, 38, 59]) expect(judge(arch, guarded.prctl, option, 0)).toBe("allow");
    for (const option of [2, 25, 27, 49, 53]) expect(judge(arch, guarded.setsockopt, 3, 1, option)).toBe("allow");
    expect(judge(arch, guarded.setsockopt, 3, 6, 26)).toBe("allow");
  });

  describe("ioctl", () => {
    test.each([0x5412, 0x541c])("refuses request 0x%s and the same with high bits set", (request) => {
      expect(judge(arch, guarded.ioctl, 0, request)).toBe("EPERM");
      for (const high of [1n, 0x8000_0000n, 0xffff_ffffn]) {
        expect(judge(arch, guarded.ioctl, 0, (high << 32n) | BigInt(request))).toBe("EPERM");
      }
    });

    test("allows every other request", () => {
      fc.assert(
        fc.property(trickyArguments, (args) => {
          const isTyping = [0x5412, 0x541c].includes(low32(args[1] ?? 0n));
          expect(judge(arch, guarded.ioctl, ...args)).toBe(isTyping ? "EPERM" : "allow");
        }),
        { numRuns: 1000 },
      );
    });
  });

  describe.each(["socket", "socketpair"] as const)("%s", (name) => {
    test("knows four families of the first 65", () => {
      const stream = Array.from({ length: 65 }, (_, family) => judge(arch, guarded[name], family, 1, 0));
      const allowed = stream.flatMap((outcome, family) => (outcome === "allow" ? [family] : []));
      expect(allowed).toEqual([1, 2, 10, 16]);
      expect(stream.filter((outcome) => outcome !== "allow" && outcome !== "EAFNOSUPPORT")).toEqual([]);
    });

    test.each([
      ["raw IPv4", 2, 3, 1, "EPERM"],
      ["raw IPv4 with CLOEXEC and NONBLOCK", 2, 0x80803, 255, "EPERM"],
      ["raw IPv6", 10, 3, 58, "EPERM"],
      ["the old packet socket", 2, 10, 0x300, "EPERM"],
      ["ping", 2, 2, 1, "EPROTONOSUPPORT"],
      ["SCTP", 2, 1, 132, "EPROTONOSUPPORT"],
      ["MPTCP", 2, 1, 262, "EPROTONOSUPPORT"],
      ["DCCP", 2, 6, 33, "EPROTONOSUPPORT"],
      ["UDP-Lite", 10, 2, 136, "EPROTONOSUPPORT"],
      ["netfilter netlink", 16, 3, 12, "EAFNOSUPPORT"],
      ["generic netlink", 16, 3, 16, "EAFNOSUPPORT"],
      ["AF_ALG", 38, 5, 0, "EAFNOSUPPORT"],
      ["AF_VSOCK", 40, 1, 0, "EAFNOSUPPORT"],
      ["AF_PACKET", 17, 3, 0x300, "EAFNOSUPPORT"],
      ["AF_XDP", 44, 3, 0, "EAFNOSUPPORT"],
    ] as const)("refuses %s", (_what, family, type, protocol, errno) => {
      expect(judge(arch, guarded[name], family, type, protocol)).toBe(errno);
    });

    test.each([
      ["TCP, CLOEXEC, NONBLOCK", 2, 0x80801, 6],
      ["UDP", 10, 2, 17],
      ["unix seqpacket", 1, 5, 0],
      ["route netlink as getifaddrs opens it", 16, 0x80003, 0],
    ] as const)("allows %s", (_what, family, type, protocol) => {
      expect(judge(arch, guarded[name], family, type, protocol)).toBe("allow");
    });

    test("decides any family, type and protocol as the kernel will read them", () => {
      fc.assert(
        fc.property(trickyArguments, ([a = 0n, b = 0n, c = 0n]) => {
          const [family, type, protocol] = [low32(a), low32(b) & 0xf, low32(c)];
          const isInternet = family === 2 || family === 10;
          const isPlain = (type === 1 || type === 2) && [0, 6, 17].includes(protocol);
          const isAllowed = family === 1 || (family === 16 && protocol === 0) || (isInternet && isPlain);
          expect(judge(arch, guarded[name], a, b, c) === "allow").toBe(isAllowed);
        }),
        { numRuns: 3000 },
      );
    });
  });

  test("personality may be 0 or the query, and nothing else", () => {
    expect(judge(arch, guarded.personality, 0)).toBe("allow");
    expect(judge(arch, guarded.personality, 0xffff_ffff)).toBe("allow");
    for (const persona of [0x40000, 0x400000, 0x440000, 8, 0x20000, 1]) {
      expect(judge(arch, guarded.personality, persona)).toBe("EPERM");
      expect(judge(arch, guarded.personality, (1n << 32n) | BigInt(persona))).toBe("EPERM");
    }
  });

  describe.each(["prlimit64", "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler"] as const)(
    "%s",
    (name) => {
      test("reaches the caller and no other process", () => {
        expect(judge(arch, guarded[name], 0, 7, 0)).toBe("allow");
        for (const pid of [1, 2, 32768, 0xffff_ffff, (1n << 32n) | 1n])
          expect(judge(arch, guarded[name], pid)).toBe("EPERM");
        fc.assert(
          fc.property(trickyArguments, (args) => {
            expect(judge(arch, guarded[name], ...args)).toBe(low32(args[0] ?? 0n) === 0 ? "allow" : "EPERM");
          }),
        );
      });
    },
  );

  test.each([
    ["setpriority", 0],
    ["ioprio_set", 1],
  ] as const)("%s reaches the caller and no other process, group or user", (name, own) => {
    for (let which = 0; which < 5; which += 1) {
      expect(judge(arch, guarded[name], which, 0, 5)).toBe(which === own ? "allow" : "EPERM");
      expect(judge(arch, guarded[name], which, 1, 5)).toBe("EPERM");
    }
  });

  test.each([
    ["mknod", 1],
    ["mknodat", 2],
  ] as const)("%s makes files, FIFOs and sockets, never devices", (name, position) => {
    const number: number | undefined = guarded[name];
    if (number === undefined) {
      expect([arch, name]).toEqual(["arm64", "mknod"]);
      return;
    }
    const outcome = (mode: bigint | number) =>
      judge(arch, number, ...[0, 0, 0].map((_, index) => (index === position ? mode : 0)));
    for (const mode of [0o644, 0o100644, 0o010600, 0o140777]) expect(outcome(mode)).toBe("allow");
    for (const mode of [0o020666, 0o060660, 0o040755, 0o120777, (5n << 32n) | 0o020666n])
      expect(outcome(mode)).toBe("EPERM");
  });
});
