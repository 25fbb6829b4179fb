import type { App } from "../../src/app.ts";
import { summariseRecipes } from "../../src/benchmark/summary.ts";
import type { Benchmark, BenchmarkSample } from "../../src/model/benchmark.ts";
import type { TaskResult } from "../../src/model/result.ts";
import type { Row } from "../client/stock-server.ts";

/** Does a row's work with a real task on a bare node, and shows it as a server of ours does. */
export function workLocally(app: App): (content: unknown, row: Row) => Promise<Record<string, unknown>[]> {
  return async (content, row) => {
    const work = typeof content === "string" ? { description: content } : { tool_calls: content as never };
    const result = await app.executor.runTask({ ...work, bare: true });
    row.status = result.status;
    row["error"] = result.error;
    row["queued_at"] = "2026-01-01T00:00:00.100Z";
    row["started_at"] = "2026-01-01T00:00:00.350Z";
    return showCalls(result);
  };
}

export const showCalls = ({ tool_calls, values }: TaskResult): Record<string, unknown>[] =>
  tool_calls.map((record, index) => ({
    type: "tool_result",
    tool: record.operation,
    output: { status: record.success ? "ok" : "error", exit_code: record.return_code },
    record,
    value: values[index]?.value,
  }));

/** A completed run of one recipe, with round figures. */
export function makeSample(given: Partial<BenchmarkSample> = {}): BenchmarkSample {
  return {
    chain: "file",
    recipe: "read-text-file",
    node_type: "file",
    run: 1,
    status: "completed",
    agent: "bench-file-1-file-00",
    response_id: "7b0c",
    started_at: "2026-01-01T00:00:00.000Z",
    source: "records",
    tool_calls: 3,
    calls_failed: 0,
    attempts: 3,
    retries: 0,
    total_ms: 100,
    network_ms: 10,
    compute_ms: 60,
    other_ms: 30,
    queue_ms: 5,
    request_bytes: 1000,
    response_bytes: 2000,
    egress_tx_bytes: 300,
    egress_rx_bytes: 4000,
    http_sent_bytes: 500,
    http_received_bytes: 6000,
    failure: null,
    ...given,
  };
}

export const FAILED = {
  status: "failed",
  calls_failed: 1,
  failure: { code: "nonzero", verdict: "nonzero", message: "read_file ended with exit code 1" },
} as const satisfies Partial<BenchmarkSample>;

export function makeBenchmark(samples: readonly BenchmarkSample[]): Benchmark {
  return {
    schema: 1,
    started_at: "2026-01-01T00:00:00.000Z",
    duration_ms: 12_345,
    settings: { runs: 2, concurrency: 1, chains: ["file"] },
    server: { url: "http://127.0.0.1:9000/api/v0", version: "0.1.0", items: ["tool_calls"], own: true },
    machine: { cpu: "a CPU", cores: 2, memory_bytes: 8 * 1024 ** 3, kernel: "6.1", node: "v24", load: [0.5, 1.5] },
    agents: [{ chain: "file", run: 1, node_type: "file", name: "bench-file-1-file-00", ready_ms: 40 }],
    recipes: summariseRecipes(samples),
    samples: [...samples],
  };
}
