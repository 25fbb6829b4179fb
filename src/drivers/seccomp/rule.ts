/** What the kernel does with a call: run it, fail it with the named error, or kill the whole process with SIGSYS. */
export type SeccompAction = "allow" | "kill" | "EPERM" | "ENOSYS" | "EAFNOSUPPORT" | "EPROTONOSUPPORT";

/**
 * True when `(argument & mask)` is one of `oneOf`. Only the low 32 bits of an argument exist here, because the kernel
 * takes every argument we test as a 32-bit value: comparing all 64 would let a caller slip by with garbage in the upper
 * half.
 */
export interface ArgumentTest {
  readonly argument: 0 | 1 | 2 | 3 | 4 | 5;
  readonly mask?: number;
  readonly oneOf: readonly number[];
}

/** When all tests hold, `action` decides. Within one case each argument is tested once, as Docker's format demands. */
export interface ArgumentCase {
  readonly means: string;
  readonly when: readonly ArgumentTest[];
  readonly action: SeccompAction;
}

export interface SeccompRule {
  readonly group: string;
  readonly syscalls: readonly string[];
  /** Tried in order; the first that matches decides. */
  readonly cases?: readonly ArgumentCase[];
  /** Decides when no case matches. */
  readonly action: SeccompAction;
  readonly reason: string;
}

export function splitNames(names: string): readonly string[] {
  return names.trim().split(/\s+/);
}
