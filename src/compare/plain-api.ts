import { request } from "node:http";
import { z } from "zod";
import { type PlainContainer, type PlainEngine, SLEEP, TRUE } from "./plain.ts";

const LIMIT_MS = 60_000;
const DEFAULT_SOCKET = "/var/run/docker.sock";

const Created = z.object({ Id: z.string() });
const Waited = z.object({ StatusCode: z.int() });
const Exec = z.object({ ExitCode: z.int() });
const Info = z.object({ Runtimes: z.record(z.string(), z.unknown()).nullish() });

/** The engine's own API, for hosts without the `docker` command. Undefined unless the engine is on a local socket. */
export function makeApiEngine(env: NodeJS.ProcessEnv): PlainEngine | undefined {
  const host = env["DOCKER_HOST"] ?? `unix://${DEFAULT_SOCKET}`;
  if (!host.startsWith("unix://")) return undefined;
  const ask = makeAsk(host.slice("unix://".length));
  return {
    via: "engine API",
    listRuntimes: async () => Object.keys(Info.parse(await ask("GET", "/info")).Runtimes ?? {}),
    start: async (image, runtime) => {
      const id = await createContainer(ask, image, runtime, SLEEP, true);
      await ask("POST", `/containers/${id}/start`);
      return {
        timeRun: () => timeMs(() => runOnce(ask, image, runtime)),
        timeExec: () => timeMs(() => execOnce(ask, id)),
        remove: async () => void (await ask("DELETE", `/containers/${id}?force=1&v=1`)),
      } satisfies PlainContainer;
    },
  };
}

type Ask = (method: string, path: string, body?: object) => Promise<unknown>;

async function runOnce(ask: Ask, image: string, runtime: string): Promise<void> {
  const id = await createContainer(ask, image, runtime, TRUE, false);
  try {
    await ask("POST", `/containers/${id}/start`);
    assertZero(Waited.parse(await ask("POST", `/containers/${id}/wait`)).StatusCode);
  } finally {
    await ask("DELETE", `/containers/${id}?force=1&v=1`);
  }
}

async function createContainer(
  ask: Ask,
  image: string,
  runtime: string,
  argv: readonly string[],
  removeItself: boolean,
): Promise<string> {
  const [entrypoint, ...rest] = argv;
  const host = { NetworkMode: "none", Runtime: runtime, AutoRemove: removeItself };
  const body = { Image: image, Entrypoint: [entrypoint], Cmd: rest, HostConfig: host };
  return Created.parse(await ask("POST", "/containers/create", body)).Id;
}

async function execOnce(ask: Ask, container: string): Promise<void> {
  const options = { Cmd: TRUE, AttachStdout: true, AttachStderr: true };
  const { Id } = Created.parse(await ask("POST", `/containers/${container}/exec`, options));
  await ask("POST", `/exec/${Id}/start`, { Detach: false });
  assertZero(Exec.parse(await ask("GET", `/exec/${Id}/json`)).ExitCode);
}

function assertZero(code: number): void {
  if (code !== 0) throw new Error(`a plain container's \`true\` ended with ${code}`);
}

async function timeMs(work: () => Promise<void>): Promise<number> {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}

/**
 * One request over the socket; an answer that is no JSON (a stream of output) is undefined. Throws on statuses from
 * 400.
 */
function makeAsk(socketPath: string): Ask {
  return async (method, path, body) => {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const text = body === undefined ? "" : JSON.stringify(body);
    const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(text) };
    const sent = request({ socketPath, path, method, headers, timeout: LIMIT_MS }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on("data", (chunk: Buffer) => chunks.push(chunk));
      answer.on("error", reject);
      answer.on("end", () => {
        const reply = Buffer.concat(chunks).toString("utf8");
        if ((answer.statusCode ?? 500) >= 400) reject(new Error(`${method} ${path}: ${reply.slice(0, 500)}`));
        else resolve(/json/.test(answer.headers["content-type"] ?? "") && reply !== "" ? JSON.parse(reply) : undefined);
      });
    });
    sent.on("timeout", () => sent.destroy(new Error(`${method} ${path}: no answer within ${LIMIT_MS / 1000} s`)));
    sent.on("error", reject);
    sent.end(text);
    return await promise;
  };
}
