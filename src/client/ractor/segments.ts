import { z } from "zod";
import type { Response } from "./reply-schemas.ts";

const Output = z.looseObject({
  status: z.string().max(64).optional().catch(undefined),
  error: z
    .string()
    .max(64 * 1024)
    .optional()
    .catch(undefined),
  exit_code: z.int().nullable().optional().catch(undefined),
  stdout: z.string().catch(""),
  stderr: z.string().catch(""),
});

/** What a server's own tool results say of a call, when the runner's result cannot be had. */
export interface SegmentResult {
  /** Absent when the server says null, which means success or a cut output: nobody can tell which. */
  readonly exitCode?: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The tool names of the generation, newest first. */
const SHELLS: ReadonlySet<string> = new Set(["run_bash", "bash", "shell"]);

/**
 * The tool result that our runner's first line (`paddock: call NAME exit N`) marks as the call's own. Results carry no
 * id: without the line nothing shows that the model ran what it was asked.
 */
export function findSegmentResult(response: Response, callName: string): SegmentResult | undefined {
  for (const segment of response.segments.toReversed()) {
    if (segment.type !== "tool_result" || !SHELLS.has(segment.tool ?? "")) continue;
    const parsed = Output.safeParse(segment["output"]);
    if (!parsed.success) continue;
    const { stdout, stderr, exit_code: exitCode } = parsed.data;
    const [line = "", ...rest] = stdout.split("\n");
    const mark = new RegExp(`^paddock: call ${callName} exit (\\d{1,3}|unknown)$`).exec(line.trim());
    if (mark === null) continue;
    return { ...readExit(mark[1] ?? "", exitCode), stdout: rest.join("\n"), stderr };
  }
  return undefined;
}

/** The runner's word; nothing where the server's number contradicts it. */
function readExit(said: string, reported: number | null | undefined): { exitCode?: number } {
  if (said === "unknown") return {};
  const own = Number(said);
  return typeof reported === "number" && own !== reported ? {} : { exitCode: own };
}
