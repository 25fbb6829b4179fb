import fc from "fast-check";
import { expect, test } from "vitest";
import {
  continueTrace,
  deriveSpanId,
  deriveTraceId,
  makeSpanId,
  parseTraceparent,
} from "../../src/telemetry/traceparent.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN = "00f067aa0ba902b7";

test("traceparent - a valid header gives its ids and its sampled flag", () => {
  expect(parseTraceparent(`00-${TRACE}-${SPAN}-01`)).toEqual({ traceId: TRACE, spanId: SPAN, sampled: true });
  expect(parseTraceparent(`00-${TRACE}-${SPAN}-00`)).toEqual({ traceId: TRACE, spanId: SPAN, sampled: false });
  expect(parseTraceparent(`00-${TRACE}-${SPAN}-03`)?.sampled).toBe(true);
});

test.each([
  ["no header", undefined],
  ["empty", ""],
  ["another version", `01-${TRACE}-${SPAN}-01`],
  ["the forbidden version", `ff-${TRACE}-${SPAN}-01`],
  ["upper case", `00-${TRACE.toUpperCase()}-${SPAN}-01`],
  ["a trace id of zeros", `00-${"0".repeat(32)}-${SPAN}-01`],
  ["a span id of zeros", `00-${TRACE}-${"0".repeat(16)}-01`],
  ["a short trace id", `00-${TRACE.slice(1)}-${SPAN}-01`],
  ["a field too many", `00-${TRACE}-${SPAN}-01-00`],
  ["space around it", ` 00-${TRACE}-${SPAN}-01`],
  ["a line break after it", `00-${TRACE}-${SPAN}-01\n`],
  ["letters that are no hex", `00-${TRACE}-${SPAN}-0g`],
])("traceparent - %s is no context", (_title, header) => {
  expect(parseTraceparent(header)).toBeUndefined();
});

test("traceparent - any other text is refused", () => {
  fc.assert(fc.property(fc.string({ maxLength: 80 }), (text) => parseTraceparent(text) === undefined));
});

test("traceparent - a task is told the span of its request, in the caller's trace or a new one, sampled as the caller says", () => {
  const below = parseTraceparent(continueTrace(`00-${TRACE}-${SPAN}-00`, "req-1"));
  expect(below).toMatchObject({ traceId: TRACE, sampled: false });
  expect(below?.spanId).not.toBe(SPAN);
  const root = parseTraceparent(continueTrace("nonsense", "req-1"));
  expect(root).toMatchObject({ spanId: below?.spanId, sampled: true });
  expect(parseTraceparent(continueTrace(undefined, "req-2"))?.traceId).not.toBe(root?.traceId);
});

test("traceparent - derived ids are valid, stable and differ by name", () => {
  const one = `00-${deriveTraceId("a")}-${deriveSpanId("a")}-01`;
  expect(parseTraceparent(one)).toBeDefined();
  expect(one).toBe(`00-${deriveTraceId("a")}-${deriveSpanId("a")}-01`);
  expect(deriveSpanId("b")).not.toBe(deriveSpanId("a"));
  expect(parseTraceparent(`00-${TRACE}-${makeSpanId()}-01`)).toBeDefined();
});
