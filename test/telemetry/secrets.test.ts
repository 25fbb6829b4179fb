import fc from "fast-check";
import { expect, test } from "vitest";
import type { FileChange } from "../../src/model/record.ts";
import { startCollector } from "./collector.ts";
import { makeCall, makeRequest, makeTask, observe } from "./events.ts";

const RUNS = Number(process.env["PADDOCK_PROPERTY_RUNS"] ?? 150);
const digits = (alphabet: string, minLength: number, maxLength = minLength) =>
  fc.string({ unit: fc.constantFrom(...Array.from(alphabet)), minLength, maxLength });
const ALNUM = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/** What must be found nowhere, and a text that carries it as errors of libraries do. */
const carried = fc.oneof(
  digits(`${ALNUM}_-`, 43, 64).map((secret) => ({ secret, text: `no token ${secret} is known` })),
  digits("0123456789abcdef", 64).map((secret) => ({ secret, text: `digest=${secret}` })),
  digits(ALNUM, 12, 30).map((secret) => ({ secret, text: `401 for Authorization: Bearer ${secret}, sorry` })),
  digits(ALNUM, 12, 30).map((secret) => ({ secret, text: `cannot reach postgres://paddock:${secret}@db:5432/x` })),
  digits(ALNUM, 12, 30).map((secret) => ({ secret, text: `GET https://s3/x?X-Amz-Signature=${secret}&a=1 failed` })),
  digits(ALNUM, 12, 30).map((secret) => ({ secret, text: `bad {"password": "${secret}"} here` })),
  digits(ALNUM, 12, 30).map((secret) => ({ secret, text: `API_KEY=${secret}` })),
  digits(ALNUM, 12, 30).map((secret) => ({ secret, text: `header eyJhbGci.${secret}.${secret} refused` })),
);
const padding = fc.string({ maxLength: 1500 }).map((text) => `${text} `);

test("secrets - what has the form of a secret leaves no trace in a message, reason or detail", async () => {
  await fc.assert(
    fc.asyncProperty(carried, padding, async ({ secret, text }, before) => {
      await using observed = await observe();
      const { telemetry } = observed;
      const said = `${before}${text}`;
      telemetry.problem("x", new Error(said));
      telemetry.record({ op: "server.change", startedAt: 0, durationMs: 0, phase: "x", detail: said });
      const change = { agent: "a", from: "idle", to: "slept", reason: said };
      telemetry.record({ op: "agent.change", startedAt: 0, durationMs: 0, ...change });
      expect(observed.lines()).toHaveLength(3);
      expect(observed.text()).not.toContain(secret);
      expect(await telemetry.metrics.text()).not.toContain(secret);
    }),
    { numRuns: RUNS },
  );
});

test("secrets - a token of ours is written in no field", async () => {
  await using observed = await observe();
  const text = "agent-pdk_abcdefghijklmnop-x";
  observed.telemetry.record(makeRequest({ principal: text, requestId: text }));
  observed.telemetry.record(makeTask({ agent: "pdk_abcdefghijklmnop" }));
  expect(observed.text()).not.toContain("abcdefghijklmnop");
});

test("secrets - a value named as secret is written in no field, whatever it is made of", async () => {
  const literal = fc
    .string({ unit: "grapheme", minLength: 6, maxLength: 40 })
    .filter((text) => text.trim().length >= 6);
  await fc.assert(
    fc.asyncProperty(literal, async (secret) => {
      await using observed = await observe({ secrets: [secret] });
      const text = `<<< ${secret} >>>`;
      observed.telemetry.problem(text, new Error(text));
      observed.telemetry.record(makeRequest({ principal: text, route: text, requestId: text }));
      observed.telemetry.record(makeTask({ agent: text, principal: text }));
      const written = observed.lines().flatMap((line) => Object.values(line));
      const carrying = written.filter((value) => typeof value === "string" && value.startsWith("<<<"));
      expect(carrying).toEqual(Array.from({ length: 7 }, () => "<<< [redacted] >>>"));
    }),
    { numRuns: RUNS },
  );
});

test("secrets - of a task nothing is told that it read, wrote, ran or was given: not in logs, metrics or spans", async () => {
  await using collector = await startCollector();
  const content = digits(ALNUM, 20, 30);
  await fc.assert(
    fc.asyncProperty(content, async (secret) => {
      await using observed = await observe({ otlpEndpoint: collector.url });
      const output = { text: secret, total_bytes: 20, dropped_bytes: 0 };
      const file: FileChange = { path: secret, type: "file", size: 1, sha256: secret };
      const error = { code: "file_error", message: secret, hint: secret, retryable: false };
      const attempts = [{ start_time: "", duration_ms: 1, verdict: "nonzero" as const, error }];
      const egress = [
        {
          host: secret,
          port: 443,
          verdict: "denied" as const,
          reason: secret,
          connections: 1,
          tx_bytes: 1,
          rx_bytes: 1,
          wait_ms: 1,
        },
      ];
      const extra = {
        env: { KEY: secret },
        input: secret,
        headers: { authorization: `Bearer ${secret}` },
        userAgent: secret,
      };
      observed.telemetry.record({
        ...makeCall({}, { command: [secret], stdout: output, stderr: output, error, attempts, egress }),
        ...extra,
      });
      const files = { files_created: [file], files_modified: [file], files_deleted: [file] };
      observed.telemetry.record(makeCall({}, { ...files, success: false, verdict: "denied" }));
      observed.telemetry.record({ ...makeTask(), ...extra });
      observed.telemetry.record({ ...makeRequest(), ...extra, ...{ url: `/x?token=${secret}`, query: secret } });
      const written = observed.text() + (await observed.telemetry.metrics.text());
      await observed.telemetry[Symbol.asyncDispose]();
      expect(observed.lines()).toHaveLength(4);
      expect(written).not.toContain(secret);
      expect(collector.bodies.join("")).not.toContain(secret);
    }),
    { numRuns: 20 },
  );
  expect(collector.spans().filter(({ name }) => name === "task.run")).toHaveLength(20);
});

test("secrets - redaction of a hostile text is quick: no pattern goes back over what it read", async () => {
  await using observed = await observe();
  const parts = ["token", "://", "a=&", "eyJ.", "bearer ", "\u001b", "a-"];
  const begun = process.cpuUsage();
  for (const part of parts) observed.telemetry.problem("x", new Error(part.repeat(30_000)));
  // Microseconds of this process, so that a busy machine changes nothing; a bad pattern takes minutes.
  expect(process.cpuUsage(begun).user).toBeLessThan(2_000_000);
  expect(observed.lines()).toHaveLength(parts.length);
});
