import type { SeccompAction, SeccompRule } from "../../seccomp/rule.ts";
import { SECCOMP_DEFAULTS, SECCOMP_RULES } from "../../seccomp/rules.ts";
import { type SeccompArch, SYSCALL_NUMBERS } from "../../seccomp/syscalls.ts";
import { type DecidedCube, separateCases } from "./cubes.ts";

/** `(argument & value) == valueTwo`; libseccomp compares 64 bits, so the mask keeps the low 32. */
interface ProfileArgument {
  readonly index: number;
  readonly value: number;
  readonly valueTwo: number;
  readonly op: "SCMP_CMP_MASKED_EQ";
}

interface ProfileRule {
  readonly names: readonly string[];
  readonly action: "SCMP_ACT_ALLOW" | "SCMP_ACT_ERRNO" | "SCMP_ACT_KILL_PROCESS";
  readonly errnoRet?: number;
  /** All must hold. */
  readonly args?: readonly ProfileArgument[];
}

/** The part of Docker's profile format (seccomp.json) that we use. */
export interface SeccompProfile {
  readonly defaultAction: ProfileRule["action"];
  readonly defaultErrnoRet?: number;
  /** Calls under another architecture kill: libseccomp's standing answer for what is not listed here. */
  readonly architectures: readonly string[];
  readonly syscalls: readonly ProfileRule[];
}

const ARCHITECTURES: Readonly<Record<SeccompArch, string>> = { x64: "SCMP_ARCH_X86_64", arm64: "SCMP_ARCH_AARCH64" };

const ERRNO: Readonly<Partial<Record<SeccompAction, number>>> = {
  EPERM: 1,
  ENOSYS: 38,
  EPROTONOSUPPORT: 93,
  EAFNOSUPPORT: 97,
};

function formatAction(action: SeccompAction): Pick<ProfileRule, "action" | "errnoRet"> {
  const errnoRet = ERRNO[action];
  if (errnoRet !== undefined) return { action: "SCMP_ACT_ERRNO", errnoRet };
  return { action: action === "allow" ? "SCMP_ACT_ALLOW" : "SCMP_ACT_KILL_PROCESS" };
}

function formatCube(cube: DecidedCube["cube"]): readonly ProfileArgument[] {
  return [...cube]
    .filter(([, { mask }]) => mask !== 0)
    .map(([index, { mask, bits }]) => ({ index, value: mask, valueTwo: bits, op: "SCMP_CMP_MASKED_EQ" }));
}

/**
 * Calls that a filter cannot look into and C libraries do not replace when they hear EPERM, so gVisor's own kernel has
 * to serve them.
 */
const SERVED_BY_GVISOR: ReadonlySet<string> = new Set(["clone3"]);

const pick = (rule: SeccompRule, arch: SeccompArch): readonly string[] =>
  rule.syscalls.filter((name) => SYSCALL_NUMBERS[arch].has(name));

function formatRule(rule: SeccompRule, names: readonly string[]): ProfileRule[] {
  return separateCases(rule).map(({ cube, action }) => {
    const args = formatCube(cube);
    return { names, ...formatAction(action), ...(args.length === 0 ? {} : { args }) };
  });
}

/**
 * Docker's form of our policy for runtimes that use libseccomp, made from the rules that the BPF filter is made from.
 * Calls that no rule names stand in it too, because engines before 22.06 drop `defaultErrnoRet` and answer EPERM, where
 * programs need ENOSYS to fall back.
 */
export function makeSeccompProfile(arch: SeccompArch, rules: readonly SeccompRule[] = SECCOMP_RULES): SeccompProfile {
  const named = new Set(rules.flatMap(({ syscalls }) => syscalls));
  const unnamed = [...SYSCALL_NUMBERS[arch].keys()].filter((name) => !named.has(name));
  const { action, errnoRet } = formatAction(SECCOMP_DEFAULTS.unlisted);
  return {
    defaultAction: action,
    ...(errnoRet === undefined ? {} : { defaultErrnoRet: errnoRet }),
    architectures: [ARCHITECTURES[arch]],
    syscalls: [
      ...rules.flatMap((rule) => {
        const names = pick(rule, arch);
        return names.length === 0 ? [] : formatRule(rule, names);
      }),
      { names: unnamed, ...formatAction(SECCOMP_DEFAULTS.unlisted) },
    ],
  };
}

/**
 * The same for runsc: what is allowed, and nothing else. Its filter knows one errno, EPERM, and its kernel has no x32
 * and no 32-bit calls. Names that its kernel lacks are dropped by it.
 */
export function makeGvisorProfile(arch: SeccompArch, rules: readonly SeccompRule[] = SECCOMP_RULES): SeccompProfile {
  const allowed = rules.flatMap((rule) => {
    const names = pick(rule, arch);
    return names.length === 0 ? [] : formatRule(rule, names).filter(({ action }) => action === "SCMP_ACT_ALLOW");
  });
  return {
    defaultAction: "SCMP_ACT_ERRNO",
    architectures: [ARCHITECTURES[arch]],
    syscalls: [...allowed, { names: [...SERVED_BY_GVISOR], action: "SCMP_ACT_ALLOW" }],
  };
}
