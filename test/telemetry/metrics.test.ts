import { expect, test } from "vitest";
import { type EventOf, makeCall, makeRequest, makeTask, observe } from "./events.ts";
import { findValue, parseExposition } from "./exposition.ts";

test("metrics - requests, tasks and calls are counted and timed by bounded labels", async () => {
  await using observed = await observe();
  const { telemetry } = observed;
  telemetry.record(makeRequest({ durationMs: 20 }));
  telemetry.record(makeRequest({ status: 404, durationMs: 30 }));
  telemetry.record(makeTask({ durationMs: 400, phasesMs: { queue: 100, run: 300 } }));
  telemetry.record(makeTask({ nodeType: "web", status: "failed", phasesMs: {} }));
  telemetry.record(makeCall({}, { retry_count: 2 }));
  telemetry.record(makeCall({}, { verdict: "timeout", success: false }));
  const samples = parseExposition(await telemetry.metrics.text());
  const route = "/api/v0/agents/:name";
  const value = (name: string, labels: Record<string, string> = {}) => findValue(samples, `paddock_${name}`, labels);
  expect(value("http_requests_total", { method: "GET", route, status: "2xx" })).toBe(1);
  expect(value("http_requests_total", { method: "GET", route, status: "4xx" })).toBe(1);
  expect(value("http_request_duration_seconds_sum", { route, status: "4xx" })).toBe(0.03);
  expect(value("http_request_duration_seconds_bucket", { route, status: "2xx", le: "0.01" })).toBe(0);
  expect(value("http_request_duration_seconds_bucket", { route, status: "2xx", le: "0.025" })).toBe(1);
  expect(value("tasks_total", { node_type: "python", status: "completed" })).toBe(1);
  expect(value("tasks_total", { node_type: "web", status: "failed" })).toBe(1);
  expect(value("task_duration_seconds_sum", { node_type: "python" })).toBe(0.4);
  expect(value("task_queue_seconds_sum", { node_type: "python" })).toBe(0.1);
  expect(value("task_queue_seconds_count", { node_type: "web" })).toBeUndefined();
  expect(value("calls_total", { operation: "run_python", verdict: "ok" })).toBe(1);
  expect(value("calls_total", { operation: "run_python", verdict: "timeout" })).toBe(1);
  expect(value("call_network_seconds_sum", { operation: "run_python" })).toBe(0.01);
  expect(value("call_compute_seconds_sum", { operation: "run_python" })).toBe(0.03);
  expect(value("transit_bytes_total", { direction: "in" })).toBe(2000);
  expect(value("transit_bytes_total", { direction: "out" })).toBe(4000);
  expect(value("call_retries_total", { operation: "run_python" })).toBe(2);
});

test("metrics - gauges are read at each scrape, and process and build are told", async () => {
  let pending = 5;
  const gauges = async () => ({ agents: { idle: 2, busy: 1 }, pending: pending--, processing: 3, sandboxes: 7 });
  await using observed = await observe({ gauges });
  expect(observed.telemetry.metrics.contentType).toContain("text/plain");
  const first = parseExposition(await observed.telemetry.metrics.text());
  expect(findValue(first, "paddock_agents", { state: "busy" })).toBe(1);
  expect(findValue(first, "paddock_responses", { status: "pending" })).toBe(5);
  expect(findValue(first, "paddock_responses", { status: "processing" })).toBe(3);
  expect(findValue(first, "paddock_sandboxes")).toBe(7);
  expect(findValue(first, "paddock_state_up")).toBe(1);
  expect(findValue(first, "paddock_build_info", { version: "1.2.3", node: process.version })).toBe(1);
  expect(findValue(first, "process_resident_memory_bytes")).toBeGreaterThan(10_000_000);
  expect(findValue(first, "process_open_fds")).toBeGreaterThan(2);
  expect(findValue(first, "process_cpu_seconds_total")).toBeGreaterThan(0);
  const second = parseExposition(await observed.telemetry.metrics.text());
  expect(findValue(second, "paddock_responses", { status: "pending" })).toBe(4);
});

test("metrics - scrapes at the same time share one look at the state", async () => {
  let looks = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  const gauges = async () => {
    looks++;
    await promise;
    return { agents: {}, pending: 0, processing: 0, sandboxes: 0 };
  };
  await using observed = await observe({ gauges });
  const scrapes = Array.from({ length: 20 }, () => observed.telemetry.metrics.text());
  resolve();
  await Promise.all(scrapes);
  expect(looks).toBe(1);
});

test("metrics - a state that cannot be read leaves its gauges out, is a problem, and comes back", async () => {
  let isBroken = false;
  const gauges = async () => {
    if (isBroken) throw new Error("no database");
    return { agents: { idle: 1 }, pending: 0, processing: 0, sandboxes: 1 };
  };
  await using observed = await observe({ gauges });
  await observed.telemetry.metrics.text();
  isBroken = true;
  const broken = parseExposition(await observed.telemetry.metrics.text());
  expect(findValue(broken, "paddock_state_up")).toBe(0);
  expect(broken.filter(({ name }) => /^paddock_(agents|responses|sandboxes)$/.test(name))).toEqual([]);
  expect(observed.lines()).toEqual([expect.objectContaining({ op: "server.problem", where: "metrics" })]);
  isBroken = false;
  const whole = parseExposition(await observed.telemetry.metrics.text());
  expect(findValue(whole, "paddock_sandboxes")).toBe(1);
  expect(findValue(whole, "paddock_problems_total", { where: "metrics", code: "internal" })).toBe(1);
});

test("metrics - whatever events hold, the number of series is bounded and no name of an agent or principal is one", async () => {
  await using observed = await observe();
  const { telemetry } = observed;
  for (let i = 0; i < 1000; i++) {
    const name = `hostile-${i}`;
    telemetry.record(makeRequest({ route: `/${name}`, method: name, status: i, principal: name }));
    telemetry.record(makeTask({ nodeType: name, agent: name, principal: name }));
    telemetry.record(makeTask({ status: name as EventOf<"task.run">["status"] }));
    telemetry.record(makeCall({ agent: name }, { operation: name, verdict: name as "ok" }));
    telemetry.record({
      op: "agent.change",
      agent: name,
      from: name,
      to: name,
      reason: name,
      startedAt: 0,
      durationMs: 0,
    });
    telemetry.problem(name, new Error(name));
  }
  const text = await telemetry.metrics.text();
  const samples = parseExposition(text);
  expect(samples.length).toBeLessThan(30_000);
  expect(findValue(samples, "paddock_tasks_total", { node_type: "other", status: "completed" })).toBe(1000);
  const named = new Set(
    samples.flatMap(({ labels }) => Object.values(labels)).filter((value) => value.startsWith("hostile")),
  );
  // 200 routes and 64 operations or places: those fields hold words of ours, bounded in case they once do not.
  expect(named.size).toBeLessThanOrEqual(200);
  for (const forbidden of ["agent", "principal", "id", "path", "name"])
    expect(samples.some(({ labels }) => Object.hasOwn(labels, forbidden))).toBe(false);
});

test("metrics - a duration that is no number, and label values with quotes and line breaks, leave a text that parses", async () => {
  await using observed = await observe();
  observed.telemetry.record(makeRequest({ route: '/a"b\\c\nd', durationMs: Number.NaN }));
  observed.telemetry.record(makeRequest({ route: "/negative", durationMs: -5 }));
  const samples = parseExposition(await observed.telemetry.metrics.text());
  expect(findValue(samples, "paddock_http_requests_total", { route: '/a\\"b\\\\c\\nd' })).toBe(1);
  expect(findValue(samples, "paddock_http_request_duration_seconds_sum", { route: "/negative" })).toBe(0);
});

test("metrics - an event loop that stood still is told once, and counted", async () => {
  await using observed = await observe();
  const told = observed.next("server.problem");
  let isTold = false;
  void told.then(() => {
    isTold = true;
  });
  // The watch begins with its first tick, so the loop is blocked again until it is seen.
  while (!isTold) {
    const end = performance.now() + 300;
    while (performance.now() < end);
    await new Promise(setImmediate);
  }
  expect(await told).toMatchObject({ where: "event_loop", message: expect.stringContaining("stood still for") });
  const samples = parseExposition(await observed.telemetry.metrics.text());
  expect(findValue(samples, "paddock_event_loop_stalls_total")).toBeGreaterThan(0);
  expect(findValue(samples, "paddock_event_loop_lag_seconds", { quantile: "1" })).toBeGreaterThan(0.2);
  expect(observed.lines()).toHaveLength(1);
});
