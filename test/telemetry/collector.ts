import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { z } from "zod";

const Value = z.union([
  z.strictObject({ stringValue: z.string() }),
  z.strictObject({ intValue: z.union([z.number(), z.string()]) }),
  z.strictObject({ doubleValue: z.number() }),
  z.strictObject({ boolValue: z.boolean() }),
]);
const Attribute = z.strictObject({ key: z.string(), value: Value });
const Nanoseconds = z.string().regex(/^\d+$/);

/** OTLP/JSON as the protocol's page states it: ids in hex, 64 bit numbers as text. Unknown keys are refused. */
const Span = z.strictObject({
  traceId: z.string().regex(/^[0-9a-f]{32}$/),
  spanId: z.string().regex(/^[0-9a-f]{16}$/),
  parentSpanId: z
    .string()
    .regex(/^([0-9a-f]{16})?$/)
    .optional(),
  traceState: z.string().optional(),
  name: z.string(),
  kind: z.int().min(1).max(5),
  startTimeUnixNano: Nanoseconds,
  endTimeUnixNano: Nanoseconds,
  attributes: z.array(Attribute),
  droppedAttributesCount: z.int(),
  events: z.array(z.unknown()),
  droppedEventsCount: z.int(),
  status: z.strictObject({ code: z.int().optional(), message: z.string().optional() }),
  links: z.array(z.unknown()),
  droppedLinksCount: z.int(),
  flags: z.int().optional(),
});
const Export = z.strictObject({
  resourceSpans: z.array(
    z.strictObject({
      resource: z.looseObject({ attributes: z.array(Attribute) }),
      scopeSpans: z.array(
        z.strictObject({
          scope: z.looseObject({ name: z.string() }),
          spans: z.array(Span),
          schemaUrl: z.string().optional(),
        }),
      ),
      schemaUrl: z.string().optional(),
    }),
  ),
});

export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  readonly name: string;
  readonly kind: number;
  readonly startMs: number;
  readonly durationMs: number;
  readonly isError: boolean;
  readonly attributes: Readonly<Record<string, string | number | boolean>>;
  readonly resource: Readonly<Record<string, string | number | boolean>>;
}

export interface Collector extends AsyncDisposable {
  readonly url: string;
  /** Request bodies as they came. */
  readonly bodies: readonly string[];
  spans(): readonly ReceivedSpan[];
  /** The status of every answer from now on. */
  answer(status: number): void;
  /** Resolves with the next request that was answered. */
  request(): Promise<void>;
}

/** An OTLP/HTTP collector on a port of its own that refuses what the protocol does not allow. */
export async function startCollector(): Promise<Collector> {
  const bodies: string[] = [];
  let status = 200;
  let answered = Promise.withResolvers<void>();
  const server = createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8").on("data", (chunk: string) => {
      body += chunk;
    });
    request.on("end", () => {
      const isRight = request.method === "POST" && request.url === "/v1/traces";
      const isJson = request.headers["content-type"] === "application/json";
      if (isRight && isJson) bodies.push(body);
      response.writeHead(isRight && isJson ? status : 400, { "content-type": "application/json" }).end("{}");
      answered.resolve();
      answered = Promise.withResolvers<void>();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/traces`,
    bodies,
    spans: () => bodies.flatMap(decode),
    answer: (next) => {
      status = next;
    },
    request: () => answered.promise,
    [Symbol.asyncDispose]: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}

function decode(body: string): readonly ReceivedSpan[] {
  return Export.parse(JSON.parse(body)).resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap(({ spans }) =>
      spans.map((span) => ({
        traceId: span.traceId,
        spanId: span.spanId,
        parentSpanId: span.parentSpanId === "" ? undefined : span.parentSpanId,
        name: span.name,
        kind: span.kind,
        startMs: Number(BigInt(span.startTimeUnixNano) / 1000n) / 1000,
        durationMs: Number((BigInt(span.endTimeUnixNano) - BigInt(span.startTimeUnixNano)) / 1000n) / 1000,
        isError: span.status.code === 2,
        attributes: readAttributes(span.attributes),
        resource: readAttributes(resource.attributes),
      })),
    ),
  );
}

function readAttributes(list: readonly z.infer<typeof Attribute>[]): Record<string, string | number | boolean> {
  return Object.fromEntries(
    list.map(({ key, value }) => {
      if ("intValue" in value) return [key, Number(value.intValue)];
      const [plain = ""] = Object.values(value);
      return [key, plain];
    }),
  );
}
