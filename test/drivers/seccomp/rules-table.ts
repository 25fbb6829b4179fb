import type { SeccompRule } from "../../../src/drivers/seccomp/rule.ts";
import { SECCOMP_RULES } from "../../../src/drivers/seccomp/rules.ts";

function describeRule(rule: SeccompRule): string {
  const cases = (rule.cases ?? []).map(({ means, action }) => `${action}: ${means}`);
  return cases.length === 0 ? rule.action : [...cases, `otherwise ${rule.action}`].join("; ");
}

/** The rules as a Markdown table, as docs/seccomp.md holds it. */
export function formatRulesTable(): string {
  const rows = SECCOMP_RULES.map(
    (rule) =>
      `| ${rule.group} | ${rule.syscalls.map((name) => `\`${name}\``).join(" ")} | ${describeRule(rule)} | ${rule.reason} |`,
  );
  return ["| Group | System calls | Action | Why |", "|---|---|---|---|", ...rows].join("\n");
}

if (import.meta.main) console.log(formatRulesTable());
