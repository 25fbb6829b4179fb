import { expect, test } from "vitest";
import { startService } from "../support/service.ts";
import { startCollector } from "./collector.ts";
import type { LogLine } from "./events.ts";
import { findValue, parseExposition } from "./exposition.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT = "00f067aa0ba902b7";
const SECRET = "environment-value-93a1";

test("telemetry - a task over HTTP is told once in the log, the metrics and one trace, and nothing tells its content", async () => {
  await using collector = await startCollector();
  const begun = Date.now();
  const { log, metrics } = await runOneTask(collector.url);
  const took = Date.now() - begun;

  const lines = log
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as LogLine);
  const [task, ...moreTasks] = lines.filter(({ op }) => op === "task.run");
  const [call, ...moreCalls] = lines.filter(({ op }) => op === "call.run");
  expect([moreTasks, moreCalls]).toEqual([[], []]);
  expect(task).toMatchObject({
    outcome: "failed",
    level: "warn",
    node_type: "python",
    calls: 1,
    attempt: 1,
    trace_id: TRACE,
  });
  expect(call).toMatchObject({ outcome: "nonzero", level: "warn", operation: "run_python", trace_id: TRACE });
  expect(call?.["response_id"]).toBe(task?.["response_id"]);
  const post = lines.find(
    ({ op, method, route }) => op === "http.request" && method === "POST" && /responses/.test(String(route)),
  );
  expect(post).toMatchObject({ status: 200, route: "/api/v0/agents/:name/responses", trace_id: TRACE });
  expect(lines.map(({ op }) => op)).toEqual(expect.arrayContaining(["agent.change", "server.change"]));

  const samples = parseExposition(metrics);
  expect(findValue(samples, "paddock_tasks_total", { node_type: "python", status: "failed" })).toBe(1);
  expect(findValue(samples, "paddock_calls_total", { operation: "run_python", verdict: "nonzero" })).toBe(1);
  expect(findValue(samples, "paddock_agents", { state: "idle" })).toBe(1);
  expect(findValue(samples, "paddock_sandboxes")).toBe(1);
  expect(findValue(samples, "paddock_transit_bytes_total", { direction: "in" })).toBeGreaterThan(0);

  const spans = collector.spans().filter(({ traceId }) => traceId === TRACE);
  const request = spans.find(({ kind }) => kind === 2);
  const taskSpan = spans.find(({ name }) => name === "task.run");
  const callSpan = spans.find(({ name }) => name === "call.run run_python");
  expect(request).toMatchObject({ name: "POST /api/v0/agents/:name/responses", parentSpanId: PARENT });
  expect(taskSpan?.parentSpanId).toBe(request?.spanId);
  expect(callSpan?.parentSpanId).toBe(taskSpan?.spanId);
  const phases = spans.filter(
    ({ parentSpanId, name }) => parentSpanId === taskSpan?.spanId && !name.startsWith("call"),
  );
  expect(phases.map(({ name }) => name)).toEqual(expect.arrayContaining(["run"]));
  const sum = phases.reduce((total, { durationMs }) => total + durationMs, 0);
  expect(sum).toBeLessThanOrEqual((taskSpan?.durationMs ?? 0) + 1);
  expect(taskSpan?.startMs).toBeGreaterThanOrEqual(begun - 1);
  expect(taskSpan?.durationMs).toBeLessThanOrEqual(took);
  // A call lies inside its task, but for the difference of two clocks.
  expect(callSpan?.startMs).toBeGreaterThanOrEqual((taskSpan?.startMs ?? 0) - 5);

  expect([log, metrics, collector.bodies.join("")].filter((text) => text.includes(SECRET))).toEqual([]);
});

interface Sent {
  readonly method?: string;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

async function runOneTask(otlpEndpoint: string): Promise<{ readonly log: string; readonly metrics: string }> {
  const server = await startService({ service: { otlpEndpoint } });
  let metrics = "";
  try {
    const send = async (path: string, init: Sent = {}): Promise<string> => {
      const headers = { authorization: `Bearer ${server.adminToken}`, "content-type": "application/json" };
      const response = await fetch(`${server.url}${path}`, { ...init, headers: { ...headers, ...init.headers } });
      const text = await response.text();
      expect(response.status, text).toBe(200);
      return text;
    };
    const agent = { name: "traced", metadata: { node_type: "python" }, bare: true, env: { KEY: SECRET } };
    await send("/api/v0/agents", { method: "POST", body: JSON.stringify(agent) });
    const code = `import sys; print("${SECRET}"); sys.exit("${SECRET}")`;
    const body = { input: { content: [{ type: "python", content: code }] }, background: false };
    const headers = { traceparent: `00-${TRACE}-${PARENT}-01`, "user-agent": SECRET };
    await send(`/api/v0/agents/traced/responses?x=${SECRET}`, { method: "POST", headers, body: JSON.stringify(body) });
    metrics = await send("/metrics");
  } finally {
    await server[Symbol.asyncDispose]();
  }
  return { log: server.logged(), metrics };
}
