/** Why an attempt ended. `platform` is never the guest's doing by itself; see docs/records.md. */
export const VERDICTS = [
  "ok",
  "nonzero",
  "timeout",
  "oom",
  "pids",
  "disk",
  "output",
  "denied",
  "cancelled",
  "lost",
  "platform",
] as const;
export type Verdict = (typeof VERDICTS)[number];
