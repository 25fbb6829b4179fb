// Workers, children, files, watching, cryptography, compression, network and priorities: prints "fine".
import assert from "node:assert/strict";
import { execFile, fork } from "node:child_process";
import { createHash, pbkdf2, randomBytes } from "node:crypto";
import dns from "node:dns/promises";
import { once } from "node:events";
import fs from "node:fs/promises";
import http from "node:http";
import os from "node:os";
import { DatabaseSync } from "node:sqlite";
import { promisify } from "node:util";
import { Worker } from "node:worker_threads";
import zlib from "node:zlib";

const worker = new Worker("const{parentPort}=require('node:worker_threads');parentPort.postMessage(6*7)", {
  eval: true,
});
assert.deepEqual(await once(worker, "message"), [42]);

const { stdout } = await promisify(execFile)("/bin/sh", ["-c", "echo out; echo err >&2"]);
assert.equal(stdout, "out\n");
await fs.writeFile("child.mjs", "process.send('hello'); process.disconnect()");
const child = fork("child.mjs");
assert.equal((await once(child, "message"))[0], "hello");
await once(child, "exit");

const watcher = fs.watch(".");
const change = watcher.next();
await fs.writeFile("a.txt", "text");
assert.equal((await change).value.filename, "a.txt");
await watcher.return();
await fs.cp("a.txt", "b.txt");
await fs.symlink("b.txt", "c.txt");
assert.equal(await fs.readFile("c.txt", "utf8"), "text");
assert.ok((await fs.readdir(".")).length >= 4);

assert.equal(createHash("sha256").update("a").digest("hex").slice(0, 8), "ca978112");
assert.equal((await promisify(pbkdf2)(randomBytes(8), "salt", 1000, 32, "sha512")).length, 32);
assert.equal(zlib.gunzipSync(zlib.gzipSync("x")).toString(), "x");

const server = http.createServer((_request, response) => response.end('{"a":1}')).listen(0, "127.0.0.1");
await once(server, "listening");
const { port } = server.address();
assert.deepEqual(await (await fetch(`http://127.0.0.1:${port}/`)).json(), { a: 1 });
assert.equal((await dns.lookup("127.0.0.1")).address, "127.0.0.1");
server.closeAllConnections();
server.close();

const database = new DatabaseSync("db");
database.exec("create table t (n); insert into t values (1)");
assert.equal(database.prepare("select n from t").get().n, 1);

assert.ok(os.networkInterfaces().lo.length > 0);
os.setPriority(0, 5);
assert.ok(os.availableParallelism() > 0);
console.log("fine");
