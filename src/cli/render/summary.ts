import type { RecordedError, ToolCallRecord } from "../../model/record.ts";
import type { TaskResult } from "../../model/result.ts";
import { formatBytes, formatMs } from "../../report/format.ts";
import { printable } from "./escape.ts";
import { renderTable } from "./table.ts";
import { say, style } from "./terminal.ts";

const COLUMNS = [
  { title: "call" },
  { title: "tool" },
  { title: "verdict" },
  { title: "time", align: "right" },
  { title: "network", align: "right" },
  { title: "cpu", align: "right" },
  { title: "memory", align: "right" },
  { title: "in", align: "right" },
  { title: "out", align: "right" },
  { title: "tries", align: "right" },
  { title: "changes" },
] as const;

/** The table of tool calls and the four metrics, on stderr. */
export function printSummary(result: TaskResult): void {
  const rows = result.tool_calls.map((record, index) =>
    summaryRow(record, result.values[index]?.title ?? record.operation),
  );
  if (rows.length > 0) say(`\n${renderTable(COLUMNS, rows)}\n${style("dim", metricsLine(result))}`);
  const isolation = result.tool_calls.find((record) => record.isolation)?.isolation;
  if (isolation?.limits.mode === "rlimit")
    say(style("yellow", "single-tenant tier: limits are only rlimits (see `paddock doctor`)"));
  for (const { operation, sandbox_killed: killed } of result.tool_calls)
    if (killed)
      say(style("yellow", `${operation}: the sandbox was killed, as its processes could not be ended otherwise`));
  for (const record of result.tool_calls) if (!record.success && !STREAMED.has(record.operation)) sayReason(record);
  for (const error of distinctErrors(result)) {
    say(`${style(["red", "bold"], error.code)}: ${printable(error.message)}`);
    say(`${style("dim", "hint:")} ${printable(error.hint)}`);
  }
}

/** Tools whose output was shown as it came. */
const STREAMED: ReadonlySet<string> = new Set(["run_command", "run_python", "run_javascript"]);

function sayReason({ operation, stderr }: ToolCallRecord): void {
  const lines = stderr.text.trim().split("\n").slice(-10).join("\n");
  if (lines !== "") say(`${style("dim", `${operation}:`)} ${printable(lines)}`);
}

/** The errors of the calls, and the task's own where it is of another kind. */
function distinctErrors({ tool_calls, error }: TaskResult): RecordedError[] {
  const errors = tool_calls.flatMap((record) => record.error ?? []);
  return error === undefined || errors.some(({ code }) => code === error.code) ? errors : [...errors, error];
}

/** `4 calls, 1.2 s (0.3 s network, 0.8 s compute), 100 % ok, ...`. */
export function metricsLine({ metrics, status, task_id }: TaskResult): string {
  const { latency_ms: latency, success, transit_bytes: transit } = metrics;
  return [
    `${task_id} ${status}: ${metrics.tool_calls} tool ${metrics.tool_calls === 1 ? "call" : "calls"}`,
    `${formatMs(latency.total)} (${formatMs(latency.network)} network, ${formatMs(latency.compute)} compute)`,
    `${success.succeeded}/${success.succeeded + success.failed} ok, ${success.retries} retries`,
    `${formatBytes(transit.request)} in, ${formatBytes(transit.response)} out, ${formatBytes(transit.egress_tx + transit.egress_rx)} egress`,
  ].join(" · ");
}

function summaryRow(record: ToolCallRecord, title: string): string[] {
  const cpu = record.cpu_user_ms === undefined ? "" : formatMs(record.cpu_user_ms + (record.cpu_system_ms ?? 0));
  return [
    printable(title.slice(0, 40)),
    record.operation,
    verdictCell(record),
    formatMs(record.execution_time_ms),
    formatMs(record.network_ms),
    cpu,
    record.max_rss_bytes === undefined ? "" : formatBytes(record.max_rss_bytes),
    formatBytes(record.request_bytes),
    formatBytes(record.response_bytes),
    String(record.attempts.length),
    changesCell(record),
  ];
}

function verdictCell(record: ToolCallRecord): string {
  const code = record.return_code === undefined || record.return_code === 0 ? "" : ` ${record.return_code}`;
  return record.success
    ? style("green", record.verdict)
    : style("red", `${record.verdict}${code}${record.signal ? ` ${record.signal}` : ""}`);
}

function changesCell(record: ToolCallRecord): string {
  if (record.files_unknown) return "unknown";
  const count = (sign: string, changes: readonly unknown[]): string =>
    changes.length > 0 ? `${sign}${changes.length}` : "";
  const packages = record.dependencies_installed.length;
  return [
    count("+", record.files_created),
    count("~", record.files_modified),
    count("-", record.files_deleted),
    record.files_more > 0 ? `(${record.files_more} more)` : "",
    packages > 0 ? `${packages} packages` : "",
  ]
    .filter((part) => part !== "")
    .join(" ");
}
