import { PaddockError } from "../../errors/error.ts";
import { assembleBpf, type Instruction } from "./assemble.ts";
import type { ArgumentCase, ArgumentTest, SeccompAction, SeccompRule } from "./rule.ts";
import { SECCOMP_DEFAULTS, SECCOMP_RULES } from "./rules.ts";
import { type SeccompArch, SYSCALL_NUMBERS } from "./syscalls.ts";

const AUDIT_ARCH: Readonly<Record<SeccompArch, number>> = { x64: 0xc000_003e, arm64: 0xc000_00b7 };

const SECCOMP_RET_ERRNO = 0x0005_0000;
const RETURN_VALUES: Readonly<Record<SeccompAction, number>> = {
  allow: 0x7fff_0000,
  kill: 0x8000_0000,
  EPERM: SECCOMP_RET_ERRNO | 1,
  ENOSYS: SECCOMP_RET_ERRNO | 38,
  EPROTONOSUPPORT: SECCOMP_RET_ERRNO | 93,
  EAFNOSUPPORT: SECCOMP_RET_ERRNO | 97,
};

const OFFSET_NUMBER = 0;
const OFFSET_ARCH = 4;
const OFFSET_ARGUMENTS = 16;
const ARGUMENT_BYTES = 8;
const WHOLE_ARGUMENT = 0xffff_ffff;
const X32_FIRST = 0x4000_0000;

/** What decides a call: an action, or the label of the code that looks at its arguments. */
type Verdict =
  | { readonly kind: "action"; readonly action: SeccompAction }
  | { readonly kind: "check"; readonly label: string };

/** From `first` up to the next segment every number has the same verdict. */
interface Segment {
  readonly first: number;
  readonly verdict: Verdict;
}

const returnAction = (action: SeccompAction): Instruction => ({ kind: "return", value: RETURN_VALUES[action] });
const decide = (action: SeccompAction): Verdict => ({ kind: "action", action });

function isSameVerdict(left: Verdict, right: Verdict): boolean {
  if (left.kind === "action") return right.kind === "action" && left.action === right.action;
  return right.kind === "check" && left.label === right.label;
}

const nameCheck = (rule: SeccompRule): string => `check ${rule.syscalls.join(" ")}`;

function assertKnown(name: string): void {
  const isKnown = Object.values(SYSCALL_NUMBERS).some((numbers) => numbers.has(name));
  if (!isKnown) throw new PaddockError("internal", `seccomp: no architecture has a system call ${name}`);
}

/** Verdict per number. Throws where a name is unknown or two rules claim the same call: either would hide a hole. */
function mapVerdicts(arch: SeccompArch, rules: readonly SeccompRule[]): Map<number, Verdict> {
  const verdicts = new Map<number, Verdict>();
  for (const rule of rules) {
    const verdict: Verdict = rule.cases === undefined ? decide(rule.action) : { kind: "check", label: nameCheck(rule) };
    for (const name of rule.syscalls) {
      assertKnown(name);
      const number = SYSCALL_NUMBERS[arch].get(name);
      if (number === undefined) continue;
      if (verdicts.has(number)) throw new PaddockError("internal", `seccomp: two rules name ${name}`);
      verdicts.set(number, verdict);
    }
  }
  return verdicts;
}

function listSegments(arch: SeccompArch, verdicts: ReadonlyMap<number, Verdict>): Segment[] {
  const unlisted = decide(SECCOMP_DEFAULTS.unlisted);
  const end = Math.max(...verdicts.keys()) + 1;
  const all: Segment[] = [];
  for (let number = 0; number <= end; number += 1)
    all.push({ first: number, verdict: verdicts.get(number) ?? unlisted });
  if (arch === "x64") all.push({ first: X32_FIRST, verdict: decide(SECCOMP_DEFAULTS.x32) });
  return all.filter((segment, index) => {
    const before = all[index - 1];
    return before === undefined || !isSameVerdict(before.verdict, segment.verdict);
  });
}

/** A balanced search tree over the segments; the number is in the accumulator. */
function searchSegments(segments: readonly Segment[]): Instruction[] {
  const middle = segments[segments.length >> 1];
  if (middle === undefined) return [];
  if (segments.length === 1) {
    const { verdict } = middle;
    return [verdict.kind === "action" ? returnAction(verdict.action) : { kind: "jump", to: verdict.label }];
  }
  const upper = `from ${middle.first}`;
  return [
    { kind: "jumpIf", test: "greaterOrEqual", value: middle.first, yes: upper },
    ...searchSegments(segments.slice(0, segments.length >> 1)),
    { kind: "label", name: upper },
    ...searchSegments(segments.slice(segments.length >> 1)),
  ];
}

function testArgument(test: ArgumentTest, matched: string, failed: string): Instruction[] {
  const load: Instruction[] = [{ kind: "load", offset: OFFSET_ARGUMENTS + test.argument * ARGUMENT_BYTES }];
  if (test.mask !== undefined && test.mask !== WHOLE_ARGUMENT) load.push({ kind: "and", mask: test.mask });
  const compare = test.oneOf.map((value, index): Instruction => {
    const isLast = index === test.oneOf.length - 1;
    return { kind: "jumpIf", test: "equal", value, yes: matched, ...(isLast ? { no: failed } : {}) };
  });
  return [...load, ...compare, { kind: "label", name: matched }];
}

function compileCase(argumentCase: ArgumentCase, label: string): Instruction[] {
  const failed = `${label} failed`;
  const tests = argumentCase.when.flatMap((test, index) => testArgument(test, `${label} test ${index} held`, failed));
  return [...tests, returnAction(argumentCase.action), { kind: "label", name: failed }];
}

function compileCheck(rule: SeccompRule): Instruction[] {
  if (rule.cases === undefined) return [];
  const cases = rule.cases.flatMap((argumentCase, index) => compileCase(argumentCase, `${nameCheck(rule)} ${index}`));
  return [{ kind: "label", name: nameCheck(rule) }, ...cases, returnAction(rule.action)];
}

/**
 * The policy as a program for `bwrap --seccomp FD`. It uses only instructions that the kernel's constant-action cache
 * understands (Linux 5.11), so calls allowed whatever their arguments skip the program altogether.
 */
export function compileSeccomp(arch: SeccompArch, rules: readonly SeccompRule[] = SECCOMP_RULES): Buffer {
  return assembleBpf([
    { kind: "load", offset: OFFSET_ARCH },
    { kind: "jumpIf", test: "equal", value: AUDIT_ARCH[arch], yes: "native" },
    returnAction(SECCOMP_DEFAULTS.foreignArch),
    { kind: "label", name: "native" },
    { kind: "load", offset: OFFSET_NUMBER },
    ...searchSegments(listSegments(arch, mapVerdicts(arch, rules))),
    ...rules.flatMap(compileCheck),
  ]);
}
