import { afterAll, beforeAll, expect, test } from "vitest";
import { askRaw } from "../support/raw-http.ts";
import { startService, type TestService } from "../support/service.ts";

const PAGE = "<!doctype html><script>document.title = 1</script><p>published</p>";
const BYTES = Buffer.from(Array.from({ length: 100_000 }, (_, index) => index % 256));
const FILES: Readonly<Record<string, string | Buffer>> = {
  "content/index.html": PAGE,
  "content/data/rows.csv": "a,b\n1,2\n",
  "content/data/raw.bin": BYTES,
  "content/app.js": "export const x = 1;\n",
  "content/ä b.txt": "named\n",
  "content/page.html.exe": "<p>not a page</p>",
  "code/private.py": "private\n",
};

async function publish(host: TestService): Promise<void> {
  const authorization = `Bearer ${await host.token("u1")}`;
  const api = `${host.url}/api/v0/agents`;
  const ask = async (path: string, method: string, body: string | Buffer, type = "application/json"): Promise<void> => {
    const response = await fetch(`${api}${path}`, { method, body, headers: { authorization, "content-type": type } });
    expect([path, response.status, response.ok ? "" : await response.text()]).toEqual([path, 200, ""]);
  };
  await ask("", "POST", JSON.stringify({ name: "Site", metadata: { bare: true } }));
  for (const [path, content] of Object.entries(FILES))
    await ask(`/Site/files/write/${encodeURIComponent(path)}`, "PUT", content, "application/octet-stream");
  await ask("/Site/publish", "POST", "{}");
}

let service: TestService;

beforeAll(async () => {
  service = await startService();
  await publish(service);
});

afterAll(async () => await service[Symbol.asyncDispose]());

const get = async (path: string, init: RequestInit = {}): Promise<Response> =>
  await fetch(`${service.url}${path}`, { redirect: "manual", ...init });

test.each([
  ["/content/Site/", "text/html; charset=utf-8", PAGE],
  ["/content/site/index.html", "text/html; charset=utf-8", PAGE],
  ["/content/Site/data/rows.csv", "text/csv; charset=utf-8", "a,b\n1,2\n"],
  ["/content/Site/app.js", "application/javascript; charset=utf-8", "export const x = 1;\n"],
  ["/content/Site/%C3%A4%20b.txt", "text/plain; charset=utf-8", "named\n"],
  ["/content/Site/page.html.exe", "application/octet-stream", "<p>not a page</p>"],
])("content - %s is served as %s", async (path, type, text) => {
  const response = await get(path);
  expect([response.status, response.headers.get("content-type"), await response.text()]).toEqual([200, type, text]);
});

test("content - bytes come as they are, and are not sent again to who has them", async () => {
  const response = await get("/content/Site/data/raw.bin");
  expect(Buffer.from(await response.arrayBuffer()).equals(BYTES)).toBe(true);
  const etag = response.headers.get("etag") ?? "";
  expect((await get("/content/Site/data/raw.bin", { headers: { "if-none-match": etag } })).status).toBe(304);
  const head = await get("/content/Site/data/raw.bin", { method: "HEAD" });
  expect([head.status, head.headers.get("content-length")]).toEqual([200, String(BYTES.length)]);
});

test("content - it is shown without an origin, scripts or cookies, as what it is named", async () => {
  const { headers } = await get("/content/Site/");
  expect(Object.fromEntries(headers)).toMatchObject({
    "content-security-policy": expect.stringMatching(/^sandbox [^;]*; script-src 'none';/),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
  });
  expect(headers.get("content-security-policy")).not.toMatch(/allow-scripts|allow-same-origin/);
  expect([headers.get("set-cookie"), headers.get("access-control-allow-origin")]).toEqual([null, null]);
});

test("content - a folder without its slash leads to the one with it", async () => {
  for (const path of ["/content/Site", "/content/Site?x=//evil.example"]) {
    const response = await get(path);
    expect([response.status, response.headers.get("location")]).toEqual([302, "/content/Site/"]);
  }
});

test("content - nothing else of the agent can be reached, and what is not there looks the same", async () => {
  const paths = [
    "code/private.py",
    "../code/private.py",
    "..%2fcode%2fprivate.py",
    "%2e%2e/code/private.py",
    "data/",
    "data",
    "nothing",
    "index.html/",
    "//index.html",
    "%00",
    "index.html%00.txt",
  ];
  for (const path of [
    ...paths.map((path) => `/content/Site/${path}`),
    "/content/nobody/",
    "/content/nobody/index.html",
  ]) {
    const { status, text } = await askRaw(service.url, "GET", path);
    expect([path, status]).toEqual([path, 404]);
    expect(text).not.toContain("private\n");
  }
});

test("content - the health of the contract's content server", async () => {
  expect(await (await get("/content/health")).json()).toEqual({ status: "healthy", service: "paddock-content" });
  const root = await get("/content/");
  expect([root.status, await root.text()]).toEqual([200, ""]);
});

test("content - a file is served while a new publication takes its place", async () => {
  const { artifacts } = service.app;
  const read = artifacts.get.bind(artifacts);
  artifacts.get = async (...given) => {
    artifacts.get = read;
    const authorization = `Bearer ${await service.token("u1")}`;
    const url = `${service.url}/api/v0/agents/Site/publish`;
    expect((await fetch(url, { method: "POST", headers: { authorization } })).status).toBe(200);
    return await read(...given);
  };
  const response = await get("/content/Site/");
  expect([response.status, await response.text()]).toEqual([200, PAGE]);
});

test("content - one whose bytes are gone is not there", async () => {
  const { artifacts } = service.app;
  const file = await service.service.store.findPublishedFile("site", "app.js");
  await artifacts.remove(file?.artifactKey ?? "");
  expect((await get("/content/Site/app.js")).status).toBe(404);
});

test("content - unpublished is gone", async () => {
  const authorization = `Bearer ${service.adminToken}`;
  await fetch(`${service.url}/api/v0/agents/Site/unpublish`, { method: "POST", headers: { authorization } });
  expect((await get("/content/Site/")).status).toBe(404);
  expect((await get("/content/Site")).status).toBe(404);
});

test("content - on a port of its own there is nothing else, and scripts run without an origin", async () => {
  await using own = await startService({ service: { contentPort: 0 } });
  await publish(own);
  const { contentUrl } = own.service;
  const response = await fetch(`${contentUrl}/content/Site/`);
  expect(await response.text()).toBe(PAGE);
  const policy = response.headers.get("content-security-policy");
  expect(policy).toMatch(/^sandbox allow-scripts/);
  expect(policy).not.toContain("allow-same-origin");
  expect(response.headers.get("access-control-allow-origin")).toBe("*");
  // A module or a font that such a page loads.
  const withoutOrigin = { headers: { origin: "null" } };
  expect((await fetch(`${contentUrl}/content/Site/`, withoutOrigin)).status).toBe(200);
  expect((await fetch(`${own.url}/api/v0/version`, withoutOrigin)).status).toBe(403);
  expect((await fetch(`${contentUrl}/api/v0/version`)).status).toBe(404);
  expect((await fetch(`${own.url}/content/Site/`)).status).toBe(404);
});
