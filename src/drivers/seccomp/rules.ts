import { ALLOWED_RULES } from "./allow-list.ts";
import { GUARDED_RULES } from "./argument-rules.ts";
import { REFUSED_RULES } from "./deny-list.ts";
import type { SeccompAction, SeccompRule } from "./rule.ts";

/** The whole policy, as data: the BPF program, Docker's profile and docs/seccomp.md are made from it. */
export const SECCOMP_RULES: readonly SeccompRule[] = [...REFUSED_RULES, ...GUARDED_RULES, ...ALLOWED_RULES];

/**
 * What no rule names. A call unknown to us is most likely newer than this list: ENOSYS makes programs fall back as on
 * an older kernel, where EPERM would make them give up. A foreign architecture has another numbering, so its calls
 * cannot be judged.
 */
export const SECCOMP_DEFAULTS: Readonly<Record<"unlisted" | "x32" | "foreignArch", SeccompAction>> = {
  unlisted: "ENOSYS",
  x32: "ENOSYS",
  foreignArch: "kill",
};
