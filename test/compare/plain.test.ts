import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import type { PlainEngine } from "../../src/compare/plain.ts";
import { makeApiEngine } from "../../src/compare/plain-api.ts";
import { findDockerCli, makeCliEngine } from "../../src/compare/plain-cli.ts";
import { askEngine } from "../drivers/host/containers.ts";
import { lacksEngine, testEngine } from "../support/engine.ts";
import { lacks } from "../support/needs.ts";

const IMAGE = "paddock-test-compare:latest";
const noEngine = lacksEngine();
const docker = findDockerCli(process.env);

test.skipIf(noEngine || lacks(docker !== undefined, "the docker command"))(
  "compare - plain containers through the docker command leave nothing",
  async () => {
    await measureAndRemove(makeCliEngine(docker ?? "", { ...process.env, DOCKER_HOST: testEngine().host }));
  },
);

test.skipIf(noEngine)("compare - plain containers through the engine's API leave nothing", async () => {
  const engine = makeApiEngine({ DOCKER_HOST: testEngine().host });
  if (engine === undefined) throw new Error("the engine is on a local socket");
  await measureAndRemove(engine);
});

test("compare - a remote engine has no plain counterparts through the API", () => {
  expect(makeApiEngine({ DOCKER_HOST: "tcp://127.0.0.1:2375" })).toBeUndefined();
});

async function measureAndRemove(engine: PlainEngine): Promise<void> {
  await importImage();
  expect(await engine.listRuntimes()).toContain("runc");
  await expect(engine.start(IMAGE, "no-such-runtime")).rejects.toThrow();
  const container = await engine.start(IMAGE, "runc");
  expect(await container.timeRun()).toBeGreaterThan(0);
  expect(await container.timeExec()).toBeGreaterThan(0);
  expect(await listContainers()).toHaveLength(1);
  await container.remove();
  expect(await listContainers()).toEqual([]);
}

/** `true`, `sleep` and their libraries. */
async function importImage(): Promise<void> {
  if ((await askEngine(testEngine().socket, "GET", `/images/${IMAGE}/json`)).status === 200) return;
  const programs = ["/usr/bin/true", "/usr/bin/sleep"];
  const libraries = execFileSync("ldd", programs, { encoding: "utf8" }).match(/(?<=\s)\/\S+(?= \()/g) ?? [];
  const files = [...new Set([...programs, ...libraries])].map((file) => file.slice(1));
  const tar = execFileSync("tar", ["-C", "/", "--dereference", "-c", ...files], { maxBuffer: 64 * 1024 ** 2 });
  const path = `/images/create?fromSrc=-&repo=${IMAGE.split(":")[0] ?? ""}&tag=latest`;
  expect((await askEngine(testEngine().socket, "POST", path, tar)).status).toBe(200);
}

async function listContainers(): Promise<unknown> {
  const filters = encodeURIComponent(JSON.stringify({ ancestor: [IMAGE] }));
  return (await askEngine(testEngine().socket, "GET", `/containers/json?all=1&filters=${filters}`)).body;
}
