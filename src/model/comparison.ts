import { z } from "zod";
import { Machine } from "./machine.ts";

/** What `paddock compare` measures, in the order it is shown. docs/compare.md says what lies inside each timer. */
export const COMPARE_ROWS = [
  { key: "create_ready", title: "create to supervisor ready", unit: "ms" },
  { key: "create_first", title: "create to first command", unit: "ms" },
  { key: "command", title: "warm command (`true`)", unit: "ms" },
  { key: "python", title: "warm Python (`import pandas`)", unit: "ms" },
  { key: "javascript", title: "warm JavaScript (`1+1`)", unit: "ms" },
  { key: "write", title: "file write, 64 MiB", unit: "MB/s" },
  { key: "read", title: "file read, 64 MiB", unit: "MB/s" },
  { key: "idle_memory", title: "memory of an idle sandbox", unit: "MiB" },
  { key: "host_growth", title: "growth of our process in a transfer", unit: "MiB" },
  { key: "destroy", title: "destroy", unit: "ms" },
  { key: "plain_run", title: "plain `docker run --rm`, `true`", unit: "ms" },
  { key: "plain_exec", title: "plain `docker exec`, `true`", unit: "ms" },
] as const;

export type CompareRow = (typeof COMPARE_ROWS)[number];
export type CompareKey = CompareRow["key"];

/** `p95` is the value that 95 % of the samples are at least as good as: for MB/s that is the slow end. */
const Measured = z.strictObject({
  n: z.int().min(1),
  p50: z.number(),
  p95: z.number(),
  min: z.number(),
  max: z.number(),
  samples: z.array(z.number()),
});

/** Why there is no figure. */
const Missing = z.strictObject({ missing: z.string() });

const IsolationFacts = z.strictObject({
  driver: z.string(),
  runtime: z.string(),
  version: z.string(),
  kernel: z.string(),
  seccomp: z.enum(["filter", "none"]),
  distinct_uid: z.boolean(),
  limits: z.strictObject({
    mode: z.enum(["cgroup2", "cgroup1", "rlimit"]),
    workspace: z.enum(["image", "memory", "polled"]),
  }),
  template: z.string().optional(),
  image: z.string().optional(),
});

/** A driver with a runtime. `name` is `bubblewrap` or `docker:<runtime>`. */
const tierName = { name: z.string(), driver: z.string(), runtime: z.string().optional() };

const RanTier = z.strictObject({
  ...tierName,
  status: z.literal("ran"),
  isolation: IsolationFacts,
  /** The guest sees the host's kernel release (`shared`), or another one (`own`). Seen from inside, in this run. */
  kernel_boundary: z.enum(["shared", "own"]),
  /** Release of the kernel that the guest sees. */
  guest_kernel: z.string(),
  /** What a kernel bug means under this tier. */
  kernel_bug: z.string(),
  capabilities: z.strictObject({ pause: z.boolean(), survives_owner: z.boolean(), memory_snapshot: z.boolean() }),
  measures: z.partialRecord(z.enum(COMPARE_ROWS.map(({ key }) => key)), z.union([Measured, Missing])),
});

const UnavailableTier = z.strictObject({
  ...tierName,
  status: z.literal("unavailable"),
  code: z.string(),
  reason: z.string(),
  hint: z.string(),
});

/** The result of `paddock compare`; `--json` prints it. */
export const Comparison = z.strictObject({
  machine: Machine,
  started_at: z.string(),
  duration_ms: z.number(),
  tiers: z.array(z.discriminatedUnion("status", [RanTier, UnavailableTier])),
  /** `true` started by the host without any sandbox, in the same rounds; absent when no tier ran. */
  plain_spawn: Measured.optional(),
  /** Through what the plain containers were started; absent when none were. */
  plain_via: z.enum(["docker CLI", "engine API"]).optional(),
});

export type Comparison = z.infer<typeof Comparison>;
export type Measured = z.infer<typeof Measured>;
export type Measure = Measured | z.infer<typeof Missing>;
export type RanTier = z.infer<typeof RanTier>;
export type UnavailableTier = z.infer<typeof UnavailableTier>;
