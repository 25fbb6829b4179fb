import fc from "fast-check";
import { expect, test } from "vitest";
import { sanitizeName, uniqueName } from "../../src/client/names.ts";
import { refusal } from "../../src/client/ractor/refusal.ts";
import {
  Agent,
  describeBody,
  isMarker,
  parseReply,
  Response,
  ResponseList,
} from "../../src/client/ractor/reply-schemas.ts";
import { findSegmentResult } from "../../src/client/ractor/segments.ts";
import { RunResult } from "../../src/client/run-spec.ts";
import { PaddockError } from "../../src/errors/error.ts";
import { tryJson } from "../../src/lib/json.ts";

const NAME = /^[A-Za-z][A-Za-z0-9-]{0,62}[A-Za-z0-9]$/;
const reply = (body: string | Uint8Array, status = 200, contentType = "") => ({
  status,
  contentType,
  bytes: Buffer.from(body),
});

test("client names - file_ops becomes file-ops", () => {
  expect(sanitizeName("task-1-file_ops")).toBe("task-1-file-ops");
  expect(uniqueName("task-1-file_ops")).toMatch(/^task-1-file-ops-[0-9a-f]{10}$/);
});

test("client names - any text becomes a name that servers accept, and no two are alike", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 200 }), (text) => {
      expect(sanitizeName(text)).toMatch(NAME);
      expect(uniqueName(text)).toMatch(NAME);
      expect(uniqueName(text)).not.toBe(uniqueName(text));
    }),
  );
});

test("client parse - unknown keys are dropped, absent ones have defaults, a broken segment does not hide the row", () => {
  const row = {
    id: "x",
    status: "Completed",
    future: { a: 1 },
    input_content: null,
    segments: [1, { type: "note" }, { no: "type" }],
  };
  const parsed = parseReply(Response, reply(JSON.stringify(row)), "row");
  expect(parsed).toMatchObject({ status: "completed", input_content: [], output_content: [] });
  expect(parsed.segments.map(({ type }) => type)).toEqual(["unreadable", "note", "unreadable"]);
  expect(parsed).not.toHaveProperty("future");
  expect(parseReply(ResponseList, reply(JSON.stringify([row, 7, { id: 1 }])), "rows")).toHaveLength(1);
});

test("client parse - any bytes are a value of the shape or a PaddockError, never anything else", () => {
  const bodies = fc.oneof(
    fc.uint8Array(),
    fc.string(),
    fc.json(),
    fc.json().map((text) => `{"id":"x","status":"pending","segments":[${text}]}`),
  );
  fc.assert(
    fc.property(bodies, fc.constantFrom(Response, Agent, ResponseList), (body, schema) => {
      try {
        parseReply(schema, reply(body), "fuzz");
      } catch (error) {
        expect(error).toBeInstanceOf(PaddockError);
      }
    }),
    { numRuns: 2000 },
  );
});

test("client parse - any row can be searched for a call's result and tested for markers", () => {
  const segment = fc.record({
    type: fc.constantFrom("tool_result", "slept", "x"),
    tool: fc.constantFrom("run_bash", "output"),
    output: fc.anything(),
  });
  fc.assert(
    fc.property(fc.array(segment), (segments) => {
      const parsed = Response.parse({ id: "x", status: "completed", segments });
      expect(typeof isMarker(parsed)).toBe("boolean");
      expect(findSegmentResult(parsed, "1-1")?.exitCode ?? 0).toBeLessThan(1000);
    }),
  );
});

test("client parse - any failed reply has words of one line without control characters", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: "binary" }),
      fc.integer({ min: 300, max: 599 }),
      fc.constantFrom("text/html", "text/plain", "application/json"),
      (body, status, type) => {
        expect(describeBody(reply(body, status, type))).toMatch(/^[^\p{Cc}]{0,500}$/u);
        expect(refusal(reply(body, status, type), "fuzz").context["status"]).toBe(status);
      },
    ),
  );
});

test("client parse - a key of the answer cannot reach a prototype", () => {
  const parsed = tryJson('{"__proto__": {"polluted": true}}');
  expect(Object.getPrototypeOf(parsed)).not.toBe(Object.prototype);
  expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
});

test("client parse - a runner's result of another shape counts as none", () => {
  fc.assert(
    fc.property(fc.anything(), (value) => {
      expect(RunResult.safeParse(value).success).toBe(false);
    }),
  );
});
