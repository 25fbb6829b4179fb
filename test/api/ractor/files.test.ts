import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { request as openRequest } from "node:http";
import { connect, type Socket } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startService, type TestService } from "../../support/service.ts";
import { Api, sendRaw } from "./api.ts";

const MIB = 1024 * 1024;
let service: TestService;
let api: Api;

beforeAll(async () => {
  service = await startService();
  api = new Api(service.url, await service.token("u1"));
  await api.makeAgent("filer");
});

afterAll(async () => {
  await service[Symbol.asyncDispose]();
});

const files = "/agents/filer/files";
const bytesOf = async (path: string) => {
  const reply = await fetch(`${api.url}${files}/read/${path}`, { headers: { authorization: `Bearer ${api.token}` } });
  return { status: reply.status, headers: reply.headers, bytes: Buffer.from(await reply.arrayBuffer()) };
};

test("files - bytes go up and down unchanged, and replace what was there as a whole", async () => {
  const content = randomBytes(3 * MIB + 17);
  const sha256 = createHash("sha256").update(content).digest("hex");
  const written = await api.put(`${files}/write/data/deep/blob.bin`, content);
  expect(written.json).toEqual({
    written: true,
    path: "data/deep/blob.bin",
    bytes: content.length,
    sha256,
    created: true,
  });
  const read = await bytesOf("data%2Fdeep%2Fblob.bin");
  expect(read.bytes.equals(content)).toBe(true);
  expect([read.headers.get("content-type"), read.headers.get("cache-control")]).toEqual([
    "application/octet-stream",
    "no-store",
  ]);
  expect([read.headers.get("x-ractor-file-size"), read.headers.get("content-length")]).toEqual([
    String(content.length),
    String(content.length),
  ]);
  const shorter = await api.put(`${files}/write/data/deep/blob.bin`, "short", {
    headers: { "content-type": "text/x" },
  });
  expect(shorter.json).toMatchObject({ bytes: 5, created: false });
  expect((await bytesOf("data/deep/blob.bin")).bytes.toString()).toBe("short");
  expect((await api.put(`${files}/write/empty`)).json.bytes).toBe(0);
  expect((await bytesOf("empty")).bytes.length).toBe(0);
});

test("files - lists, metadata and deletion in the contract's words", async () => {
  await api.run("filer", "mkdir -p l/Sub; printf abc > l/b.csv; chmod 750 l/b.csv; ln -s b.csv l/a; touch l/.hidden");
  const { json } = await api.get(`${files}/list/l`);
  expect(json).toMatchObject({ offset: 0, limit: 100, next_offset: null, total: 4 });
  expect(json.entries.map(({ name, kind }: { name: string; kind: string }) => [name, kind])).toEqual([
    [".hidden", "file"],
    ["a", "symlink"],
    ["b.csv", "file"],
    ["Sub", "dir"],
  ]);
  expect(json.entries[2]).toEqual({ name: "b.csv", kind: "file", size: 3, mode: "0750", mtime: expect.any(String) });
  const page = (await api.get(`${files}/list/l?offset=1&limit=2`)).json;
  expect([page.entries.length, page.next_offset, page.total]).toEqual([2, 3, 4]);
  expect((await api.get(`${files}/list/l?limit=9999`)).json.limit).toBe(500);
  expect((await api.get(`${files}/list`)).json.entries.length).toBeGreaterThan(0);
  const link = (await api.get(`${files}/metadata/l/a`)).json;
  expect([link.kind, link.link_target]).toEqual(["symlink", "b.csv"]);
  const file = (await api.get(`${files}/metadata/l/b.csv`)).json;
  expect(Object.keys(file)).toEqual(["kind", "size", "mode", "mtime"]);
  expect(file.mtime).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$/);
  const deleted = await api.delete(`${files}/delete/l/b.csv`, { headers: { "content-type": "application/json" } });
  expect([deleted.status, deleted.json]).toEqual([200, { deleted: true, path: "l/b.csv" }]);
  expect((await api.delete(`${files}/delete/l/b.csv`)).json).toEqual({ message: "File or directory not found" });
});

test.each([
  ["get", "read/none", 404, "File or directory not found"],
  ["get", "metadata/none", 404, "File or directory not found"],
  ["get", "list/none", 404, "File or directory not found"],
  ["get", "read/folder", 400, "Path is a directory"],
  ["delete", "delete/folder", 400, "Path is a directory"],
  ["get", "read/pipe", 400, "Path is not a regular file"],
  ["get", "read/out", 400, "Invalid path"],
  ["get", "read/proc", 400, "Invalid path"],
  ["get", "read/round", 400, "Invalid path"],
  ["get", "read/up/etc/passwd", 400, "Invalid path"],
  ["delete", "delete/up/etc/passwd", 400, "Invalid path"],
  ["get", "read/huge", 413, `file too large (${26 * MIB} bytes > 25MB)`],
] as const)("files - %s %s is %i", async (method, path, status, message) => {
  await api.run(
    "filer",
    `mkdir -p folder; [ -e pipe ] || mkfifo pipe; ln -sfn / up; ln -sfn /etc/passwd out; ln -sfn /proc/self/environ proc; ln -sfn round round; truncate -s ${26 * MIB} huge`,
  );
  const reply = await api[method](`${files}/${path}`);
  expect([reply.status, reply.json]).toEqual([status, { message }]);
});

test.each([
  ["/read/", "empty"],
  ["/read//etc/passwd", "absolute"],
  ["/read/a/../b", "up"],
  ["/read/..%2f..%2fetc%2fpasswd", "up, encoded"],
  ["/read/a/./b", "dot"],
  ["/read/a%2F", "empty segment at the end"],
  ["/read/a%00b", "NUL"],
  [`/read/${"n".repeat(256)}`, "a long name"],
  [`/read/${"d/".repeat(2500)}f`, "a long path"],
  ["/list/..", "up"],
  ["/metadata/..", "up"],
])("files - %s is refused before anything is looked at", async (path) => {
  for (const agent of ["filer", "nope"]) {
    const { status, text } = await sendRaw("GET", service.url, `/api/v0/agents/${agent}/files${path}`, api.token);
    expect([status, text]).toEqual([400, JSON.stringify({ message: "Invalid path" })]);
  }
});

test("files - odd names go up, are listed, read and deleted as they are", async () => {
  const names = ["a b", "-rf", "__proto__", "constructor", "100%", "täst", "x\ny", "trailing.", "\u202egnp", "#?&=+"];
  for (const name of names) {
    const path = `odd%2F${encodeURIComponent(name)}`;
    expect((await api.put(`${files}/write/${path}`, name)).status).toBe(200);
    expect((await bytesOf(path)).bytes.toString()).toBe(name);
  }
  const listed = (await api.get(`${files}/list/odd`)).json.entries.map(({ name }: { name: string }) => name);
  expect(listed.toSorted()).toEqual(names.toSorted());
  for (const name of listed)
    expect((await api.delete(`${files}/delete/odd/${encodeURIComponent(name)}`)).status).toBe(200);
  expect((await api.get(`${files}/list/odd`)).json.total).toBe(0);
});

test("files - a link is deleted and what it leads to stays; a folder with too many entries is listed in part", async () => {
  await api.run("filer", "echo x > stays; ln -s stays goes; mkdir many; cd many; seq 1 20001 | xargs touch");
  expect((await api.delete(`${files}/delete/goes`)).json).toEqual({ deleted: true, path: "goes" });
  expect((await bytesOf("stays")).bytes.toString()).toBe("x\n");
  const { json } = await api.get(`${files}/list/many?limit=2&offset=10`);
  expect(json).toMatchObject({ total: 20_000, truncated: true, next_offset: 12 });
});

test("files - an upload follows no link, keeps a file's mode and refuses a folder", async () => {
  await api.run(
    "filer",
    "mkdir -p t/dir; echo safe > t/target; ln -s target t/link; echo x > t/tool; chmod 755 t/tool",
  );
  expect((await api.put(`${files}/write/t/link`, "new")).status).toBe(200);
  expect((await bytesOf("t/target")).bytes.toString()).toBe("safe\n");
  expect((await api.get(`${files}/metadata/t/link`)).json.kind).toBe("file");
  await api.put(`${files}/write/t/tool`, "y");
  expect((await api.get(`${files}/metadata/t/tool`)).json.mode).toBe("0755");
  expect((await api.put(`${files}/write/t/dir`, "x")).json).toEqual({ message: "Path is a directory" });
  expect((await api.put(`${files}/write/t/tool/x`, "x")).json).toEqual({ message: "File or directory not found" });
});

test("files - of many uploads to one path one whole version stays; many reads of a pipe end at once", async () => {
  const versions = Array.from({ length: 100 }, (_value, index) => Buffer.alloc(20_000 + index, 65 + (index % 26)));
  const replies = await Promise.all(versions.map((content) => api.put(`${files}/write/race`, content)));
  expect(replies.map(({ status }) => status)).toEqual(versions.map(() => 200));
  const { bytes } = await bytesOf("race");
  expect(versions.some((content) => content.equals(bytes))).toBe(true);
  const pipes = await Promise.all(Array.from({ length: 64 }, () => api.get(`${files}/read/pipe`)));
  expect(new Set(pipes.map(({ status }) => status))).toEqual(new Set([400]));
});

test("files - what is too large or broken off leaves the old content and nothing else", async () => {
  await api.put(`${files}/write/kept`, "old");
  const tooLarge = await sendBody({ "content-length": String(100 * MIB + 1) }, async () => undefined);
  expect([tooLarge.status, tooLarge.text]).toEqual([413, '{"message":"file too large (more than 100MB)"}']);
  const part = Buffer.alloc(MIB);
  const endless = await sendBody({ "transfer-encoding": "chunked" }, async (write) => {
    for (let count = 0; count < 101; count++) if (!(await write(part))) return;
  });
  expect(endless.status).toBe(413);
  await sendBody({ "transfer-encoding": "chunked" }, async (write, leave) => {
    await write(part);
    leave();
  }).catch(() => undefined);
  await expect.poll(async () => (await api.get(`${files}/list/.paddock/uploads`)).json.total).toBe(0);
  expect((await bytesOf("kept")).bytes.toString()).toBe("old");
});

test.each([
  ["falls asleep", "PUT", "/state", { state: "slept" }, [409, "Agent is sleeping"]],
  ["is deleted", "DELETE", "", undefined, [404, "Agent not found"]],
] as const)("files - an upload to an agent that %s meanwhile says so", async (_how, method, path, body, expected) => {
  await api.makeAgent("leaver");
  await api.run("leaver", "true");
  const { promise, resolve, reject } = Promise.withResolvers<readonly [number | undefined, string]>();
  const headers = { authorization: `Bearer ${api.token}`, "transfer-encoding": "chunked" };
  const upload = openRequest(`${api.url}/agents/leaver/files/write/slow`, { method: "PUT", headers }, (reply) => {
    const chunks: Buffer[] = [];
    reply.on("data", (chunk: Buffer) => chunks.push(chunk));
    reply.on("end", () => resolve([reply.statusCode, JSON.parse(Buffer.concat(chunks).toString()).message]));
  });
  upload.on("error", reject);
  upload.write("begun");
  while (!(await api.get("/agents/leaver/files/list/.paddock/uploads")).json?.total);
  expect((await api.ask(method, `/agents/leaver${path}`, body === undefined ? {} : { body })).status).toBe(200);
  upload.end("more");
  expect(await promise).toEqual(expected);
  await api.delete("/agents/leaver");
});

test("files - a sleeping agent's files are not read, and it is not woken", async () => {
  await api.makeAgent("asleep");
  await api.awaitState("asleep", "idle");
  await api.put("/agents/asleep/state", { state: "slept" });
  await api.awaitState("asleep", "slept");
  for (const path of ["list", "read/x", "metadata/x"]) {
    const reply = await api.get(`/agents/asleep/files/${path}`);
    expect([reply.status, reply.json]).toEqual([409, { message: "Agent is sleeping" }]);
  }
  expect((await api.put("/agents/asleep/files/write/x", "x")).status).toBe(409);
  expect((await api.get("/agents/asleep")).json.state).toBe("slept");
});

test("files - a stranger's unread reads end neither the sandbox nor the owner's own, and are cut off", async () => {
  await api.makeAgent("shown");
  await api.run(
    "shown",
    "head -c 24000000 /dev/zero > content/big; mkdir links; cd links; seq 1 3000 | xargs -I{} ln -s x {}",
  );
  expect((await api.post("/agents/shown/publish", { content: true })).status).toBe(200);
  const stranger = api.as(await service.token("u2"));
  const working = api.run("shown", "sleep 4; echo done");
  const { port } = new URL(api.url);
  const head = `GET /api/v0/agents/shown/files/read/content/big HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\nauthorization: Bearer ${stranger.token}\r\n\r\n`;
  const sockets = Array.from({ length: 40 }, () => connect(Number(port), "127.0.0.1").pause());
  for (const socket of sockets) socket.on("error", () => undefined).write(head);
  await once(sockets[0] as Socket, "connect");
  const lists = Promise.all(Array.from({ length: 24 }, () => api.get("/agents/shown/files/list/links")));
  expect((await api.get("/agents/shown/files/metadata/content/big")).json.size).toBe(24_000_000);
  expect(new Set((await lists).map(({ status }) => status))).toEqual(new Set([200]));
  expect((await working).status).toBe("completed");
  // It has its turn again only when those that make no progress are gone.
  const look = async () => (await stranger.get("/agents/shown/files/metadata/content/big")).status;
  await expect.poll(look, { timeout: 60_000 }).toBe(200);
  for (const socket of sockets) socket.destroy();
  await api.delete("/agents/shown");
});

type Write = (chunk: Buffer) => Promise<boolean>;

/** A PUT to `kept` whose body is written by hand. */
function sendBody(
  headers: Record<string, string>,
  send: (write: Write, leave: () => void) => Promise<void>,
): Promise<{ status: number; text: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; text: string }>();
  const url = `${api.url}${files}/write/kept`;
  const request = openRequest(url, { method: "PUT", headers: { authorization: `Bearer ${api.token}`, ...headers } });
  let answered = false;
  request.on("response", (reply) => {
    answered = true;
    const chunks: Buffer[] = [];
    reply.on("data", (chunk: Buffer) => chunks.push(chunk));
    reply.on("close", () => resolve({ status: reply.statusCode ?? 0, text: Buffer.concat(chunks).toString() }));
    reply.on("error", () => undefined);
  });
  request.on("error", (error) => (answered ? undefined : reject(error)));
  const write: Write = (chunk) =>
    new Promise((done) => {
      if (answered || request.destroyed) done(false);
      else request.write(chunk, (error) => done(error == null && !answered));
    });
  request.flushHeaders();
  void send(write, () => request.destroy()).then(() => {
    if (!request.destroyed && !answered && headers["transfer-encoding"] !== undefined) request.end();
  });
  return promise;
}
