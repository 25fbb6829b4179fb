import { Agent } from "node:https";
import type { Readable } from "node:stream";
import type Docker from "dockerode";
import { PaddockError } from "../../../errors/error.ts";
import { type Endpoint, formatAddress } from "./endpoint.ts";
import { toEngineError } from "./engine-error.ts";

interface DialOptions {
  path: string;
  file?: unknown;
}

type BuildRequest = (options: object, context: unknown, data: unknown, callback: unknown) => void;

interface Modem {
  dial: (options: DialOptions, callback: unknown) => void;
}

interface RequestBuilder {
  buildRequest: BuildRequest;
}

/**
 * An engine redirects nobody. docker-modem would go wherever an answer says, and throw where nobody catches when it
 * cannot.
 */
function refuseRedirects(modem: RequestBuilder): void {
  const build = modem.buildRequest.bind(modem);
  modem.buildRequest = (options, context, data, callback) =>
    build(Object.assign(options, { maxRedirects: 0 }), context, data, callback);
}

/**
 * On attach, dockerode puts its own options into the request's body, and Podman hands a body to the container's
 * standard input (apocas/dockerode#742). An empty body keeps them out.
 */
function emptyAttachBodies(modem: Modem): void {
  const dial = modem.dial.bind(modem);
  modem.dial = (options, callback) => {
    if (options.path.endsWith("/attach?")) options.file = Buffer.alloc(0);
    dial(options, callback);
  };
}

/**
 * docker-modem fills what is absent from the environment, so everything it could read there is given, if only as
 * undefined.
 */
function makeOptions({ address }: Endpoint, env: NodeJS.ProcessEnv): Docker.DockerOptions {
  const nothing = { host: undefined, port: undefined, socketPath: undefined, username: undefined };
  const unsecured = { ca: undefined, cert: undefined, key: undefined, pathPrefix: "/" };
  const all = { ...nothing, ...unsecured, protocol: "http" as const, timeout: undefined, headers: {} };
  switch (address.kind) {
    case "unix":
      return { ...all, socketPath: address.path };
    case "tcp": {
      const { host, port, tls } = address;
      if (tls === undefined) return { ...all, host, port };
      const { ca, cert, key } = tls;
      const accept = tls.verify ? {} : { agent: new Agent({ rejectUnauthorized: false }) };
      return { ...all, host, port, protocol: "https", ca, cert, key, ...accept } as Docker.DockerOptions;
    }
    case "ssh": {
      const { host, port = 22, user = env["USER"] ?? "root" } = address;
      const sshOptions = { agent: env["SSH_AUTH_SOCK"] };
      return { ...all, protocol: "ssh", host, port, username: user, sshOptions } as Docker.DockerOptions;
    }
  }
}

async function loadDockerode(): Promise<typeof Docker> {
  try {
    return (await import("dockerode")).default;
  } catch (cause) {
    throw new PaddockError(
      "driver_unavailable",
      "the package dockerode, which the docker driver talks through, cannot be loaded",
      {
        cause,
        hint: "Run `npm install` again.",
      },
    );
  }
}

/** A client that speaks to one endpoint and to no other; `env` tells user and agent of ssh. Nothing is sent yet. */
export async function makeClient(endpoint: Endpoint, env: NodeJS.ProcessEnv): Promise<Docker> {
  const Client = await loadDockerode();
  try {
    const client = new Client(makeOptions(endpoint, env));
    emptyAttachBodies(client.modem as Modem);
    refuseRedirects(client.modem as unknown as RequestBuilder);
    return client;
  } catch (error) {
    throw toEngineError(error, `use the engine at ${formatAddress(endpoint.address)} (${endpoint.origin})`);
  }
}

/** A POST that dockerode has no word for. Resolves with the answer's fields. */
export async function postJson(client: Docker, path: string, body: object, signal: AbortSignal): Promise<unknown> {
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  const statusCodes = { 200: true, 201: true, 400: "bad parameter", 404: "not found", 500: "server error" };
  const options = { path, options: body, method: "POST", abortSignal: signal, statusCodes };
  (client.modem as Modem).dial(options, (error: unknown, answer: unknown) =>
    error === null ? resolve(answer) : reject(error),
  );
  return promise;
}

/**
 * A POST whose answer is read as it comes. docker-modem's own reading of a whole answer never settles when the engine
 * goes away in the middle of it; a stream fails.
 */
export async function postForStream(
  client: Docker,
  path: string,
  query: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<Readable> {
  const { promise, resolve, reject } = Promise.withResolvers<Readable>();
  const options = {
    path: `${path}?`,
    options: { ...query },
    method: "POST",
    isStream: true,
    abortSignal: signal,
    statusCodes: { 200: true, 400: "bad parameter", 404: "no such container", 500: "server error" },
  };
  const done = (error: unknown, stream: Readable): void => (error === null ? resolve(stream) : reject(error));
  (client.modem as Modem).dial(options, done);
  return promise;
}
