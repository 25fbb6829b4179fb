import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { loadConfig } from "../../src/config/config.ts";

let home = "";
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "paddock-config-"));
});
afterEach(() => rmSync(home, { recursive: true }));

function load(artifacts: object, { env = {}, mode = 0o600 }: { env?: Record<string, string>; mode?: number } = {}) {
  writeFileSync(join(home, "config.json"), JSON.stringify({ artifacts }));
  chmodSync(join(home, "config.json"), mode);
  return loadConfig({ PADDOCK_HOME: home, ...env }, 1000).artifacts;
}

const refusal = (message: RegExp) =>
  expect.objectContaining({ code: "invalid_config", message: expect.stringMatching(message) });

test("config artifacts - by default a folder, nothing unasked and no grants", () => {
  expect(load({})).toEqual({ store: "filesystem", keep: "asked", s3: undefined, grants: [] });
});

test("config artifacts - an endpoint of one's own means paths instead of host names", () => {
  const s3 = { bucket: "results", endpoint: "http://s3.example.com:9000" };
  expect(load({ store: "s3", s3 }).s3).toMatchObject({ bucket: "results", prefix: "", pathStyle: true, attempts: 3 });
  expect(load({ s3: { bucket: "results" } }, { env: { PADDOCK_ARTIFACTS: "s3" } })).toMatchObject({
    store: "s3",
    s3: { pathStyle: false },
  });
});

test.each([
  [{ store: "s3" }, /artifacts\.s3 names no bucket/],
  [{ store: "ftp" }, /artifacts\.store/],
  [{ s3: { bucket: "Results" } }, /artifacts\.s3\.bucket must be a bucket's name/],
  [{ s3: { bucket: "results", prefix: "a" } }, /artifacts\.s3\.prefix must be empty, or end with/],
  [{ s3: { bucket: "results", endpoint: "s3.example.com" } }, /artifacts\.s3\.endpoint must be an http/],
  [{ s3: { bucket: "results", endpoint: "https://key:secret@s3.example.com" } }, /artifacts\.s3\.endpoint must be/],
  [{ s3: { bucket: "results", access_key_id: "A" } }, /belong together/],
  [{ grants: [{ bucket: "data", prefix: "part", access: "get" }] }, /artifacts\.grants\.0\.prefix must be empty/],
  [{ grants: [{ bucket: "data", access: "get" }] }, /artifacts\.grants\.0\.prefix/],
  [{ grants: [{ bucket: "*", prefix: "", access: "get" }] }, /artifacts\.grants\.0\.bucket/],
])("config artifacts - %j is refused by name", (artifacts, message) => {
  expect(() => load(artifacts)).toThrow(refusal(message));
});

test("config artifacts - a secret key in a file that others can read is refused", () => {
  const artifacts = { s3: { bucket: "results", access_key_id: "A", secret_access_key: "canary-secret" } };
  expect(load(artifacts).s3?.credentials).toEqual({ accessKeyId: "A", secretAccessKey: "canary-secret" });
  expect(() => load(artifacts, { mode: 0o640 })).toThrow(refusal(/can be read by others/));
});
