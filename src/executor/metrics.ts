import type { ToolCallRecord } from "../model/record.ts";
import type { TaskMetrics } from "../model/result.ts";

const sum = (records: readonly ToolCallRecord[], value: (record: ToolCallRecord) => number): number =>
  records.reduce((total, record) => total + value(record), 0);

/** The four metrics as sums over records. */
export function sumMetrics(records: readonly ToolCallRecord[]): TaskMetrics {
  const byCategory: Record<string, number> = {};
  for (const record of records) byCategory[record.category] = (byCategory[record.category] ?? 0) + 1;
  const succeeded = records.filter((record) => record.success).length;
  return {
    tool_calls: records.length,
    tool_calls_by_category: byCategory,
    latency_ms: {
      total: round(sum(records, (record) => record.execution_time_ms)),
      network: round(sum(records, (record) => record.network_ms)),
      compute: round(sum(records, (record) => record.compute_ms)),
    },
    success: {
      succeeded,
      failed: records.length - succeeded,
      rate: records.length === 0 ? 1 : succeeded / records.length,
      attempts: sum(records, (record) => record.attempts.length),
      retries: sum(records, (record) => record.retry_count),
    },
    transit_bytes: {
      request: sum(records, (record) => record.request_bytes),
      response: sum(records, (record) => record.response_bytes),
      egress_tx: sum(records, (record) => sumEgress(record, "tx_bytes")),
      egress_rx: sum(records, (record) => sumEgress(record, "rx_bytes")),
    },
  };
}

function sumEgress(record: ToolCallRecord, field: "tx_bytes" | "rx_bytes"): number {
  return record.egress.reduce((total, row) => total + row[field], 0);
}

/** Milliseconds with three decimals. */
export function round(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
