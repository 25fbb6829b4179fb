import { z } from "zod";
import { BoundedOutput } from "../lib/bounded-output.ts";
import { intField, textField } from "../model/fields.ts";
import type { OutputRecord } from "../model/record.ts";
import { KIB, MIB } from "../model/units.ts";
import { DiffLine } from "../sandbox/channel/messages.ts";

/** What `images/ractor/run_call.py` is told about one call; base64 where bytes matter. */
export type RunSpec =
  | (ProgramSpec & { readonly op: "process"; readonly argv: readonly string[]; readonly collect: string })
  | (ProgramSpec & {
      readonly op: "code";
      readonly language: "python" | "javascript";
      readonly code: string;
      readonly file: string;
    })
  | {
      readonly op: "write";
      readonly path: string;
      readonly content: string;
      readonly mode: number;
      readonly append: boolean;
      readonly exclusive: boolean;
    }
  | { readonly op: "remove"; readonly path: string; readonly recursive: boolean };

interface ProgramSpec {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly stdin: string;
  readonly background: boolean;
  readonly timeout_ms: number;
  readonly output_bytes: number;
}

const count = z.int().min(0);
const base64 = textField(64 * MIB).regex(/^[A-Za-z0-9+/]*={0,2}$/);
const Kept = z.strictObject({ head: base64, tail: base64, total: count });
type Kept = z.infer<typeof Kept>;

/** What the runner wrote. It comes from a foreign server: what does not fit counts as no result. */
export const RunResult = z.strictObject({
  call: z.string().max(64),
  start_time: z.string().max(64),
  duration_ms: z.number().min(0),
  ended: z.enum(["exit", "deadline"]),
  exit_code: intField(0, 255).nullable(),
  signal: z.string().max(16).nullable(),
  stdout: Kept,
  stderr: Kept,
  pid: count.optional(),
  value: textField(64 * KIB).optional(),
  collected: textField(4 * MIB).nullish(),
  missing: z.boolean().optional(),
  removed: count.optional(),
  written: z
    .strictObject({ bytes: count, sha256: z.string().regex(/^[0-9a-f]{64}$/), created: z.boolean() })
    .optional(),
  changes: z.array(DiffLine).max(1000),
  more: count,
});
export type RunResult = z.infer<typeof RunResult>;

export function keptOutput(kept: Kept, limitBytes: number): OutputRecord {
  const output = new BoundedOutput(limitBytes);
  const [head, tail] = [Buffer.from(kept.head, "base64"), Buffer.from(kept.tail, "base64")];
  output.push(head);
  output.skip(Math.max(0, kept.total - head.length - tail.length));
  output.push(tail);
  return { text: output.text(), total_bytes: output.totalBytes, dropped_bytes: output.missingBytes };
}
