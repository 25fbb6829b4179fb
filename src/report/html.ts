import type { ToolCallRecord } from "../model/record.ts";
import type { CallValue, TaskResult } from "../model/result.ts";
import { formatBytes, formatMs } from "./format.ts";
import { renderPage } from "./page.ts";
import { type BarRow, escapeHtml, stackedBars } from "./svg.ts";

export interface ReportTask {
  readonly title: string;
  readonly result: TaskResult;
}

/** Attempts that fill the width of their plot. */
const ATTEMPTS_SCALE = 6;

/** A self-contained page (no script, no request): the four metrics, plots and every record of the tasks. */
export function renderReport(tasks: readonly ReportTask[], made: Date): string {
  return renderPage("Paddock report", `${tasks.length} tasks`, tasks.map(renderTask).join("\n"), made);
}

function renderTask({ title, result }: ReportTask): string {
  const { metrics } = result;
  const verdict = result.status === "completed" ? "verdict-ok" : "verdict-bad";
  return `<section><h2>${escapeHtml(title)}</h2>
<p class="dim">${escapeHtml(result.task_id)} · ${result.node_type} node · <span class="${verdict}">${result.status}</span> in ${formatMs(result.duration_ms)}${isolationNote(result)}</p>
<div class="metrics">
<div>tool calls<b>${metrics.tool_calls}</b><span class="dim">${escapeHtml(categories(metrics.tool_calls_by_category))}</span></div>
<div>latency<b>${formatMs(metrics.latency_ms.total)}</b><span class="dim">${formatMs(metrics.latency_ms.network)} network, ${formatMs(metrics.latency_ms.compute)} compute</span></div>
<div>success<b>${Math.round(metrics.success.rate * 100)} %</b><span class="dim">${metrics.success.attempts} attempts, ${metrics.success.retries} retries</span></div>
<div>data in transit<b>${formatBytes(metrics.transit_bytes.request + metrics.transit_bytes.response)}</b><span class="dim">egress ${formatBytes(metrics.transit_bytes.egress_tx + metrics.transit_bytes.egress_rx)}</span></div>
</div>
${result.error ? `<p class="verdict-bad">${escapeHtml(result.error.code)}: ${escapeHtml(result.error.message)}</p>` : ""}
${plots(result)}
${recordTable(result)}
${details(result)}</section>`;
}

function plots(result: TaskResult): string {
  if (result.tool_calls.length === 0) return "";
  const key = `<p class="key dim"><span><i style="background:var(--prep)"></i>queue, lease, prepare</span><span><i style="background:var(--in)"></i>transfer in</span><span><i style="background:var(--net)"></i>network</span><span><i style="background:var(--cpu)"></i>compute</span><span><i style="background:var(--out)"></i>transfer out</span></p>`;
  return [
    key,
    stackedBars(rows(result, latencyRow), "Latency per tool call"),
    stackedBars(rows(result, bytesRow), "Bytes per tool call: to the sandbox, from the sandbox, egress"),
    stackedBars(rows(result, attemptsRow), "Attempts per tool call", ATTEMPTS_SCALE),
  ].join("\n");
}

function rows(result: TaskResult, make: (record: ToolCallRecord) => Omit<BarRow, "label">): BarRow[] {
  return result.tool_calls.map((record, index) => ({
    label: result.values[index]?.title ?? record.operation,
    ...make(record),
  }));
}

function latencyRow(record: ToolCallRecord): Omit<BarRow, "label"> {
  const phases = record.phases_ms;
  const segment = (className: string, name: string, value: number) => ({
    className,
    value,
    title: `${name} ${formatMs(value)}`,
  });
  return {
    segments: [
      segment("prep", "queue, lease, prepare", phases.queue + phases.lease + phases.prepare),
      segment("in", "transfer in", phases.transfer_in),
      segment("net", "network", record.network_ms),
      segment("cpu", "compute", record.compute_ms),
      segment("out", "transfer out", phases.transfer_out),
    ],
    note: formatMs(record.execution_time_ms),
  };
}

function bytesRow(record: ToolCallRecord): Omit<BarRow, "label"> {
  const egress = record.egress.reduce((total, row) => total + row.tx_bytes + row.rx_bytes, 0);
  return {
    segments: [
      { className: "in", value: record.request_bytes, title: `to the sandbox ${formatBytes(record.request_bytes)}` },
      {
        className: "out",
        value: record.response_bytes,
        title: `from the sandbox ${formatBytes(record.response_bytes)}`,
      },
      { className: "net", value: egress, title: `egress ${formatBytes(egress)}` },
    ],
    note: formatBytes(record.request_bytes + record.response_bytes + egress),
  };
}

function attemptsRow(record: ToolCallRecord): Omit<BarRow, "label"> {
  return {
    segments: record.attempts.map((attempt, index) => ({
      className: attempt.verdict === "ok" ? "ok" : "bad",
      value: 1,
      title: `attempt ${index + 1}: ${attempt.verdict}, ${formatMs(attempt.duration_ms)}`,
    })),
    note: `${record.attempts.length}`,
  };
}

function recordTable(result: TaskResult): string {
  const body = result.tool_calls
    .map((record, index) => {
      const verdict = record.success ? "verdict-ok" : "verdict-bad";
      const files =
        record.files_created.length + record.files_modified.length + record.files_deleted.length + record.files_more;
      return `<tr><td>${escapeHtml(result.values[index]?.title ?? record.operation)}</td><td>${escapeHtml(record.operation)}</td><td class="${verdict}">${record.verdict}</td>
<td class="n">${formatMs(record.execution_time_ms)}</td><td class="n">${formatMs(record.network_ms)}</td><td class="n">${record.attempts.length}</td>
<td class="n">${formatBytes(record.request_bytes)}</td><td class="n">${formatBytes(record.response_bytes)}</td><td class="n">${record.max_rss_bytes === undefined ? "" : formatBytes(record.max_rss_bytes)}</td>
<td class="n">${files}</td><td class="n">${record.dependencies_installed.length || ""}</td></tr>`;
    })
    .join("\n");
  return `<table><thead><tr><th>call</th><th>tool</th><th>verdict</th><th class="n">time</th><th class="n">network</th><th class="n">attempts</th><th class="n">in</th><th class="n">out</th><th class="n">memory</th><th class="n">files</th><th class="n">packages</th></tr></thead><tbody>${body}</tbody></table>`;
}

function details(result: TaskResult): string {
  return result.tool_calls
    .map((record, index) => {
      const value = result.values[index];
      return `<details><summary>${escapeHtml(value?.title ?? record.operation)}: full record</summary>${images(value)}<pre>${escapeHtml(JSON.stringify(record, null, 2))}</pre></details>`;
    })
    .join("\n");
}

/** PNG figures of a code run; other rich outputs could carry markup and are left out. */
function images(value: CallValue | undefined): string {
  return (value?.rich ?? [])
    .filter((rich) => rich.mime === "image/png" && /^[A-Za-z0-9+/=]+$/.test(rich.base64))
    .map((rich) => `<img alt="figure" style="max-width:100%" src="data:image/png;base64,${rich.base64}">`)
    .join("");
}

function categories(byCategory: Readonly<Record<string, number>>): string {
  return Object.entries(byCategory)
    .map(([name, count]) => `${count} ${name}`)
    .join(", ");
}

function isolationNote(result: TaskResult): string {
  const isolation = result.tool_calls[0]?.isolation;
  return isolation
    ? ` · ${escapeHtml(`${isolation.driver} ${isolation.version}, limits by ${isolation.limits.mode}`)}`
    : "";
}
