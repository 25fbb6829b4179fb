import { execFile } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { continueTrace } from "../../src/telemetry/traceparent.ts";
import { startCollector } from "./collector.ts";
import { makeCall, makeRequest, makeTask, observe, STARTED_AT } from "./events.ts";
import { findValue, parseExposition } from "./exposition.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT = "00f067aa0ba902b7";
const traceparent = `00-${TRACE}-${PARENT}-01`;

test("otlp - a request is a server span below its caller's", async () => {
  await using collector = await startCollector();
  const observed = await observe({ otlpEndpoint: collector.url });
  observed.telemetry.record(makeRequest({ traceparent, status: 503, errorCode: "state_failed" }));
  await observed[Symbol.asyncDispose]();
  expect(collector.spans()).toEqual([
    {
      traceId: TRACE,
      spanId: expect.stringMatching(/^[0-9a-f]{16}$/),
      parentSpanId: PARENT,
      name: "GET /api/v0/agents/:name",
      kind: 2,
      startMs: STARTED_AT,
      durationMs: 12.5,
      isError: true,
      attributes: {
        "http.request.method": "GET",
        "http.route": "/api/v0/agents/:name",
        "http.response.status_code": 503,
        "http.request.body.size": 0,
        "http.response.body.size": 321,
        "paddock.request.id": "req-1",
        "user.name": "alice",
        "error.type": "state_failed",
      },
      resource: { "service.name": "paddock", "service.version": "1.2.3", "service.instance.id": "node-1" },
    },
  ]);
});

test("otlp - a task is a span with its phases below, its calls below it with theirs, one after the other", async () => {
  await using collector = await startCollector();
  const observed = await observe({ otlpEndpoint: collector.url });
  // Calls end before their task: the parent is known by then all the same.
  observed.telemetry.record(makeCall({ traceparent }));
  observed.telemetry.record(makeTask({ traceparent }));
  await observed[Symbol.asyncDispose]();
  const spans = collector.spans();
  expect(new Set(spans.map(({ traceId }) => traceId))).toEqual(new Set([TRACE]));
  expect(new Set(spans.map(({ spanId }) => spanId)).size).toBe(spans.length);
  const task = spans.find(({ name }) => name === "task.run");
  const call = spans.find(({ name }) => name === "call.run run_python");
  expect(task).toMatchObject({ parentSpanId: PARENT, kind: 1, startMs: STARTED_AT, durationMs: 100, isError: false });
  expect(call).toMatchObject({ parentSpanId: task?.spanId, startMs: STARTED_AT + 40, durationMs: 25 });
  expect(call?.attributes).toMatchObject({
    "gen_ai.tool.name": "run_python",
    "paddock.call.verdict": "ok",
    "paddock.call.network_ms": 5,
    "process.exit.code": 0,
  });
  const below = (spanId: string | undefined) =>
    spans
      .filter((span) => span.parentSpanId === spanId && span !== call)
      .map(({ name, startMs, durationMs }) => [name, startMs - STARTED_AT, durationMs]);
  expect(below(task?.spanId)).toEqual([
    ["queue", 0, 10],
    ["sandbox", 10, 30],
    ["run", 40, 60],
  ]);
  expect(below(call?.spanId)).toEqual([
    ["prepare", 40, 2],
    ["transfer_in", 42, 1],
    ["run", 43, 20],
    ["transfer_out", 63, 2],
  ]);
});

test("otlp - without a valid caller a task and its calls are one new trace, and each request is one of its own", async () => {
  await using collector = await startCollector();
  const observed = await observe({ otlpEndpoint: collector.url });
  observed.telemetry.record(makeTask({ traceparent: `00-${"0".repeat(32)}-${PARENT}-01` }));
  observed.telemetry.record(makeCall());
  observed.telemetry.record(makeRequest());
  observed.telemetry.record(makeRequest({ requestId: "req-2", traceparent: "nonsense" }));
  await observed[Symbol.asyncDispose]();
  const spans = collector.spans();
  const task = spans.find(({ name }) => name === "task.run");
  const call = spans.find(({ name }) => name.startsWith("call.run"));
  const requests = spans.filter(({ kind }) => kind === 2);
  expect(task?.parentSpanId).toBeUndefined();
  expect(call).toMatchObject({ traceId: task?.traceId, parentSpanId: task?.spanId });
  expect(requests).toHaveLength(2);
  expect(new Set([task, ...requests].map((span) => span?.traceId)).size).toBe(3);
});

test("otlp - a task stands below the request that posted it", async () => {
  await using collector = await startCollector();
  const observed = await observe({ otlpEndpoint: collector.url });
  observed.telemetry.record(makeRequest({ method: "POST", requestId: "req-7", traceparent }));
  observed.telemetry.record(makeTask({ traceparent: continueTrace(traceparent, "req-7") }));
  await observed[Symbol.asyncDispose]();
  const [request, task] = collector.spans();
  expect(request).toMatchObject({ traceId: TRACE, parentSpanId: PARENT });
  expect(task).toMatchObject({ traceId: TRACE, parentSpanId: request?.spanId, name: "task.run" });
});

test("otlp - a caller that does not sample its trace gets no spans", async () => {
  await using collector = await startCollector();
  const observed = await observe({ otlpEndpoint: collector.url });
  const unsampled = { traceparent: `00-${TRACE}-${PARENT}-00` };
  observed.telemetry.record(makeRequest(unsampled));
  observed.telemetry.record(makeTask(unsampled));
  observed.telemetry.record(makeCall(unsampled));
  observed.telemetry.record(makeRequest({ requestId: "sampled" }));
  await observed[Symbol.asyncDispose]();
  expect(collector.spans().map(({ attributes }) => attributes["paddock.request.id"])).toEqual(["sampled"]);
});

test("otlp - a collector that refuses disturbs nothing: spans are counted, one line says so", async () => {
  await using collector = await startCollector();
  collector.answer(400);
  await using observed = await observe({ otlpEndpoint: collector.url });
  const told = observed.next("server.problem");
  for (let i = 0; i < 600; i++) observed.telemetry.record(makeRequest());
  expect(await told).toMatchObject({ where: "otlp", level: "error" });
  await collector.request();
  await observed.telemetry[Symbol.asyncDispose]();
  expect(observed.lines().filter(({ op }) => op === "server.problem")).toHaveLength(1);
  const samples = parseExposition(await observed.telemetry.metrics.text());
  expect(findValue(samples, "paddock_telemetry_lost_total", { kind: "span_failed" })).toBe(600);
});

test("otlp - a collector that never answers holds a bounded number of spans, and closing ends", async () => {
  const sockets = new Set<{ destroy(): void }>();
  const silent = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
  }).listen(0, "127.0.0.1");
  await once(silent, "listening");
  const address = silent.address();
  const port = typeof address === "object" ? address?.port : undefined;
  const observed = await observe({ otlpEndpoint: `http://127.0.0.1:${port}/v1/traces` });
  for (let i = 0; i < 5000; i++) observed.telemetry.record(makeRequest());
  const samples = parseExposition(await observed.telemetry.metrics.text());
  expect(findValue(samples, "paddock_telemetry_lost_total", { kind: "span_dropped" })).toBe(5000 - 4096);
  await observed[Symbol.asyncDispose]();
  for (const socket of sockets) socket.destroy();
  silent.close();
});

test("otlp - without an endpoint no package of OpenTelemetry's SDK is loaded; with one, a missing package is named", async () => {
  const program = `
    import { registerHooks } from "node:module";
    registerHooks({
      resolve(specifier, context, next) {
        if (/opentelemetry.(sdk-trace|resources|exporter)/.test(specifier)) throw new Error("no package " + specifier);
        return next(specifier, context);
      },
    });
    const { createTelemetry } = await import("./src/telemetry/create.ts");
    const options = {
      logLevel: "info", version: "1", nodeId: "n", secrets: [],
      gauges: async () => ({ agents: {}, pending: 0, processing: 0, sandboxes: 0 }),
    };
    await using plain = await createTelemetry({ ...options, otlpEndpoint: undefined });
    const refused = await createTelemetry({ ...options, otlpEndpoint: "http://127.0.0.1:9/v1/traces" }).catch((e) => e);
    console.log(JSON.stringify(refused));
  `;
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", program]);
  const refused = JSON.parse(stdout) as { code: string; message: string; hint: string };
  expect(refused.code).toBe("invalid_config");
  expect(refused.message).toContain("@opentelemetry/sdk-trace");
  expect(refused.hint).toContain("npm install @opentelemetry/sdk-trace @opentelemetry/resources");
});

test("otlp - an endpoint that is no http URL is refused", async () => {
  await expect(observe({ otlpEndpoint: "collector:4317" })).rejects.toMatchObject({ code: "invalid_config" });
});
