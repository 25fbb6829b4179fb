import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { listEndpoints } from "../../../src/drivers/docker/engine/endpoint.ts";
import { Engine } from "../../../src/drivers/docker/engine/engine.ts";
import { makeNoEngineError, toEngineError } from "../../../src/drivers/docker/engine/engine-error.ts";

let home = "";

function writeContext(name: string, host: string, tls?: { readonly skip: boolean }): void {
  const key = createHash("sha256").update(name).digest("hex");
  const meta = join(home, ".docker/contexts/meta", key);
  mkdirSync(meta, { recursive: true });
  const docker = { Host: host, SkipTLSVerify: tls?.skip ?? false };
  writeFileSync(join(meta, "meta.json"), JSON.stringify({ Name: name, Endpoints: { docker } }));
  if (tls === undefined) return;
  const folder = join(home, ".docker/contexts/tls", key, "docker");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "ca.pem"), "CA");
}

beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), "paddock-endpoint-"));
  writeContext("far", "tcp://far.example:2376", { skip: false });
  writeContext("tunnel", "ssh://me@far.example:22022");
  writeFileSync(join(home, ".docker/config.json"), JSON.stringify({ currentContext: "far" }));
});

afterAll(() => rmSync(home, { recursive: true }));

const find = (env: NodeJS.ProcessEnv, from = home): unknown[] =>
  listEndpoints(env, from, 1000).map(({ origin, address }) => [origin, address]);

describe("where an engine is looked for", () => {
  test.each([
    ["unix:///run/x.sock", { kind: "unix", path: "/run/x.sock" }],
    ["tcp://10.0.0.1", { kind: "tcp", host: "10.0.0.1", port: 2375 }],
    ["http://[::1]:99", { kind: "tcp", host: "::1", port: 99 }],
    ["far.example:1234", { kind: "tcp", host: "far.example", port: 1234 }],
    ["ssh://a@b:22", { kind: "ssh", host: "b", port: 22, user: "a" }],
  ])("DOCKER_HOST=%s", (host, address) => {
    expect(find({ DOCKER_HOST: host })).toEqual([["DOCKER_HOST", address]]);
  });

  test("DOCKER_TLS_VERIFY takes the certificates of DOCKER_CERT_PATH", () => {
    const folder = join(home, "certificates");
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "ca.pem"), "CA");
    const env = { DOCKER_HOST: "tcp://h:1", DOCKER_TLS_VERIFY: "1", DOCKER_CERT_PATH: folder };
    expect(find(env)).toEqual([["DOCKER_HOST", { kind: "tcp", host: "h", port: 1, tls: { ca: "CA", verify: true } }]]);
  });

  test("the chosen context, with its certificates; DOCKER_CONTEXT goes before, DOCKER_HOST before both", () => {
    expect(find({})).toEqual([
      ["context far", { kind: "tcp", host: "far.example", port: 2376, tls: { ca: "CA", verify: true } }],
    ]);
    expect(find({ DOCKER_CONTEXT: "tunnel" })).toEqual([
      ["context tunnel", { kind: "ssh", host: "far.example", port: 22022, user: "me" }],
    ]);
    expect(find({ DOCKER_CONTEXT: "tunnel", DOCKER_HOST: "unix:///x" })).toEqual([
      ["DOCKER_HOST", { kind: "unix", path: "/x" }],
    ]);
  });

  test("else the sockets of Docker and Podman, the user's before the system's Podman", () => {
    const paths = listEndpoints({ DOCKER_CONTEXT: "default", XDG_RUNTIME_DIR: "/run/me" }, "/home/me", 1000).map(
      ({ origin }) => origin,
    );
    expect(paths).toEqual([
      "/var/run/docker.sock",
      "/run/me/docker.sock",
      "/home/me/.docker/run/docker.sock",
      "/run/me/podman/podman.sock",
      "/run/podman/podman.sock",
    ]);
  });

  test.each(["unix://relative", "ftp://x", "ssh://", "://"])("%s names no engine", (host) => {
    expect(() => find({ DOCKER_HOST: host })).toThrow(expect.objectContaining({ code: "invalid_config" }));
  });

  test("a context that is not there is an error, not another engine", () => {
    expect(() => find({ DOCKER_CONTEXT: "gone" })).toThrow(expect.objectContaining({ code: "invalid_config" }));
  });
});

test.each([
  ["unix:///nonexistent/docker.sock", /^No engine's socket is there: start the engine/],
  ["tcp://127.0.0.1:1", /^Nothing listens there: start the engine/],
  ["tcp://engine.invalid:1", /^That host name has no address|^Start the container engine/],
])("an engine that does not answer is named with what to do: %s", async (host, hint) => {
  await expect(Engine.open({ DOCKER_HOST: host })).rejects.toMatchObject({
    code: "engine_unavailable",
    message: expect.stringContaining(
      `no container engine answers: ${host} (DOCKER_HOST): could not ask for its version`,
    ),
    hint: expect.stringMatching(hint),
    context: { tried: [expect.objectContaining({ endpoint: `${host} (DOCKER_HOST)` })] },
  });
});

test("of several sockets the hint is about the one that is there", () => {
  const absent = { endpoint: "unix:///a", problem: "ENOENT", hint: toEngineError(failed("ENOENT"), "try").hint };
  const forbidden = { endpoint: "unix:///b", problem: "EACCES", hint: toEngineError(failed("EACCES"), "try").hint };
  expect(makeNoEngineError([absent, forbidden])).toMatchObject({
    message: "no container engine answers: unix:///a: ENOENT; unix:///b: EACCES",
    hint: expect.stringContaining("may not use the engine's socket"),
  });
  expect(makeNoEngineError([absent]).hint).toBe(absent.hint);
});

const failed = (code: string): Error => Object.assign(new Error(`connect ${code}`), { code });
