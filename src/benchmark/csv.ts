import type { Benchmark, BenchmarkSample } from "../model/benchmark.ts";

type Cell = string | number | null;

/** Columns are only ever added, at the end. */
const COLUMNS: readonly (readonly [string, (sample: BenchmarkSample, run: Benchmark) => Cell])[] = [
  ["schema", (_sample, run) => run.schema],
  ["chain", ({ chain }) => chain],
  ["recipe", ({ recipe }) => recipe],
  ["node_type", ({ node_type }) => node_type],
  ["run", ({ run }) => run],
  ["status", ({ status }) => status],
  ["code", ({ failure }) => failure?.code ?? null],
  ["verdict", ({ failure }) => failure?.verdict ?? null],
  ["tool_calls", ({ tool_calls }) => tool_calls],
  ["calls_failed", ({ calls_failed }) => calls_failed],
  ["attempts", ({ attempts }) => attempts],
  ["retries", ({ retries }) => retries],
  ["total_ms", ({ total_ms }) => total_ms],
  ["network_ms", ({ network_ms }) => network_ms],
  ["compute_ms", ({ compute_ms }) => compute_ms],
  ["other_ms", ({ other_ms }) => other_ms],
  ["queue_ms", ({ queue_ms }) => queue_ms],
  ["request_bytes", ({ request_bytes }) => request_bytes],
  ["response_bytes", ({ response_bytes }) => response_bytes],
  ["egress_tx_bytes", ({ egress_tx_bytes }) => egress_tx_bytes],
  ["egress_rx_bytes", ({ egress_rx_bytes }) => egress_rx_bytes],
  ["http_sent_bytes", ({ http_sent_bytes }) => http_sent_bytes],
  ["http_received_bytes", ({ http_received_bytes }) => http_received_bytes],
  ["source", ({ source }) => source],
  ["started_at", ({ started_at }) => started_at],
  ["agent", ({ agent }) => agent],
  ["response_id", ({ response_id }) => response_id],
  ["server_version", (_sample, run) => run.server.version],
];

/** One row per recipe and run, RFC 4180 with a header; a figure that nobody could measure is empty. */
export function renderCsv(run: Benchmark): string {
  const rows = run.samples.map((sample) => COLUMNS.map(([, read]) => read(sample, run)));
  return [COLUMNS.map(([name]) => name), ...rows].map((cells) => `${cells.map(renderCell).join(",")}\r\n`).join("");
}

/** Words of a foreign server must not become a formula where the file is opened as a sheet. */
function renderCell(cell: Cell): string {
  if (cell === null) return "";
  if (typeof cell === "number") return String(cell);
  const text = /^[=+\-@\t\r]/.test(cell) ? `'${cell}` : cell;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
