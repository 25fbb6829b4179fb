import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type RequestListener, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { Engine } from "../../../src/drivers/docker/engine/engine.ts";

const ID = "a".repeat(64);
const STATE = { Running: true, ExitCode: 0, StartedAt: "2026-01-01T00:00:00Z", Pid: 7 };
const INSPECTED = { Id: ID, Image: "sha256:0", Config: { Labels: null }, State: STATE };

function sendJson(response: ServerResponse, value: unknown, status = 200): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(value));
}

interface FakeEngine extends AsyncDisposable {
  readonly open: () => Promise<Engine>;
}

/** Speaks the engine's protocol and answers what it likes. */
async function startFake(answer: RequestListener): Promise<FakeEngine> {
  const folder = mkdtempSync(join(tmpdir(), "paddock-fake-"));
  const path = join(folder, "engine.sock");
  const server = createServer((request, response) =>
    /^\/(version|info)/.test(request.url ?? "") ? sendJson(response, {}) : answer(request, response),
  );
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return {
    open: () => Engine.open({ DOCKER_HOST: `unix://${path}` }),
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      rmSync(folder, { recursive: true });
    },
  };
}

describe("an engine whose answers are not an engine's", () => {
  test.each([
    ["nothing", {}],
    ["no id", { ...INSPECTED, Id: "" }],
    ["an id that is a path", { ...INSPECTED, Id: "../../info" }],
    ["a pid that is a text", { ...INSPECTED, State: { ...STATE, Pid: "1" } }],
    ["a state that is none", { ...INSPECTED, State: null }],
    ["labels that are none", { ...INSPECTED, Config: { Labels: ["x"] } }],
  ])("a container with %s is an error with a code", async (_name, answer) => {
    await using fake = await startFake((_request, response) => sendJson(response, answer));
    const engine = await fake.open();
    await expect(engine.inspectContainer(ID)).rejects.toMatchObject({ code: "engine_failed" });
  });

  test("what a real one says is read", async () => {
    await using fake = await startFake((_request, response) => sendJson(response, INSPECTED));
    const engine = await fake.open();
    expect(await engine.inspectContainer(ID)).toMatchObject({ id: ID, running: true, pid: 7, labels: {} });
  });

  test.each([{}, { Id: "../x" }])("a made container named %j is an error with a code", async (answer) => {
    await using fake = await startFake((_request, response) => sendJson(response, answer, 201));
    const engine = await fake.open();
    const made = engine.createContainer("name", {}, AbortSignal.timeout(10_000));
    await expect(made).rejects.toMatchObject({ code: "engine_failed" });
  });

  test.each([{ a: 1 }, [null], [{ Id: "x", Created: 0 }]])("a list %j is an error with a code", async (answer) => {
    await using fake = await startFake((_request, response) => sendJson(response, answer));
    const engine = await fake.open();
    await expect(engine.listContainers({ a: "b" })).rejects.toMatchObject({ code: "engine_failed" });
  });

  test("a redirect is not followed", async () => {
    let visits = 0;
    const elsewhere = createServer((_request, response) => {
      visits += 1;
      sendJson(response, INSPECTED);
    });
    await new Promise<void>((resolve) => elsewhere.listen(0, "127.0.0.1", resolve));
    const { port } = elsewhere.address() as { port: number };
    await using fake = await startFake((_request, response) => {
      response.writeHead(302, { location: `http://127.0.0.1:${port}/` });
      response.end();
    });
    const engine = await fake.open();
    await expect(engine.inspectContainer(ID)).rejects.toMatchObject({ code: "engine_failed" });
    expect(visits).toBe(0);
    elsewhere.close();
  });
});
