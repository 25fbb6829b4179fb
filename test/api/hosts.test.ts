import { afterAll, beforeAll, expect, test } from "vitest";
import { askRaw, sendRaw } from "../support/raw-http.ts";
import { startService, type TestService } from "../support/service.ts";

let service: TestService;

beforeAll(async () => {
  service = await startService({
    service: {
      allowedHosts: ["Paddock.example"],
      allowedOrigins: ["https://ui.example"],
      publicUrl: "https://public.example/",
    },
  });
});

afterAll(async () => await service[Symbol.asyncDispose]());

const statusOf = async (headers: Record<string, string>): Promise<number | undefined> =>
  (await askRaw(service.url, "GET", "/health", headers)).status;

test.each([
  "localhost",
  "LOCALHOST:9000",
  "127.0.0.1",
  "127.0.0.1:1",
  "[::1]:9000",
  "10.1.2.3",
  "paddock.example",
  "public.example",
  "paddock.example.",
])("hosts - %s is served", async (host) => expect(await statusOf({ host })).toBe(200));

test.each([
  "evil.example",
  "localhost.evil.example",
  "127.0.0.1.evil.example",
  "evil.example:9000",
  "a@localhost",
  "",
  "localhost, evil.example",
  "[::1",
  "xpaddock.example",
])("hosts - the name %j, which a page could have had resolved to us, is not", async (host) =>
  expect([400, 403]).toContain(await statusOf({ host })),
);

test.each([
  ["http://localhost", 200],
  ["https://paddock.example:9000", 200],
  ["http://evil.example", 403],
  ["http://evil.example:9000", 403],
  ["http://localhost@evil.example", 403],
  ["http://", 403],
  ["ftp://localhost", 403],
])("hosts - a target of %s is judged as Host is: %i", async (origin, status) => {
  const answer = await askRaw(service.url, "GET", `${origin}/health`, { host: "localhost" });
  expect(answer.status).toBe(status);
});

test("hosts - a whole URL as target is its path, with every rule for that path", async () => {
  const [whole, path] = await Promise.all(
    ["http://localhost/api/v0/agents", "/api/v0/agents"].map((target) =>
      askRaw(service.url, "GET", target, { host: "localhost" }),
    ),
  );
  const lines = (text: string | undefined): string[] =>
    (text ?? "").split("\r\n").filter((line) => !/^(?:date|x-request-id):/i.test(line));
  expect([whole?.status, lines(whole?.text)]).toEqual([401, lines(path?.text)]);
});

test("hosts - two names in one request are none", async () => {
  const text = "GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
  expect([400, 403]).toContain((await sendRaw(service.url, text)).status);
});

test.each([
  ["https://ui.example", 200],
  ["http://localhost:9000", 200],
  ["http://localhost", 403],
  ["https://evil.example", 403],
  ["null", 403],
  ["file://", 403],
  ["https://ui.example.evil.example", 403],
])("hosts - a page of %s gets %i", async (origin, status) => {
  expect(await statusOf({ host: "localhost:9000", origin })).toBe(status);
});

test("hosts - no answer opens itself to pages of other origins", async () => {
  const { text } = await askRaw(service.url, "GET", "/api/v0/version", { origin: "https://ui.example" });
  expect(text).not.toMatch(/access-control-allow/i);
  expect(text).toMatch(/^x-content-type-options: nosniff\r$/im);
});
