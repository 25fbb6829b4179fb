import type { Duplex, Readable } from "node:stream";
import { json } from "node:stream/consumers";
import type Docker from "dockerode";
import type { z } from "zod";
import { PaddockError } from "../../../errors/error.ts";
import { raceSignal } from "../../../lib/deadline.ts";
import { makeClient, postForStream, postJson } from "./client.ts";
import { type Endpoint, formatAddress, listEndpoints } from "./endpoint.ts";
import { makeNoEngineError, readStatus, type TriedEndpoint, toEngineError } from "./engine-error.ts";
import { CreatedContainer, InspectedContainer, ListedContainers, readAnswer } from "./engine-schemas.ts";
import { type EngineFacts, readFacts } from "./facts.ts";
import type { Labels } from "./labels.ts";

/** Longest wait for an answer that is not a stream. */
const ANSWER_MS = 30_000;
const FIRST_ANSWER_MS = 5_000;

/** A container as the engine tells it. */
export interface ContainerFacts {
  readonly id: string;
  readonly running: boolean;
  readonly paused: boolean;
  readonly oomKilled: boolean;
  readonly exitCode: number;
  /** The engine's words on a failed start. */
  readonly error: string;
  /** RFC 3339, as the engine writes it; compared, never parsed. */
  readonly startedAt: string;
  /** In the engine's pid namespace; null while not running. */
  readonly pid: number | null;
  readonly image: string;
  readonly labels: Labels;
}

export interface ListedObject {
  /** Id of a container, name of a volume. */
  readonly id: string;
  readonly labels: Labels;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
}

/**
 * One container engine: the few requests we make, in our types. Throws coded errors (docs/errors.md) and nothing else.
 */
export class Engine {
  readonly endpoint: Endpoint;
  readonly facts: EngineFacts;
  /** Endpoints that came before this one and did not answer. */
  readonly tried: readonly TriedEndpoint[];
  readonly #client: Docker;

  private constructor(endpoint: Endpoint, facts: EngineFacts, tried: readonly TriedEndpoint[], client: Docker) {
    this.endpoint = endpoint;
    this.facts = facts;
    this.tried = tried;
    this.#client = client;
  }

  /** The first endpoint that answers. Throws `engine_unavailable` with all that was tried, `invalid_config`. */
  static async open(env: NodeJS.ProcessEnv = process.env): Promise<Engine> {
    const tried: TriedEndpoint[] = [];
    for (const endpoint of listEndpoints(env)) {
      try {
        const client = await makeClient(endpoint, env);
        const facts = await askFacts(client);
        return new Engine(endpoint, facts, tried, client);
      } catch (error) {
        const { message, hint, code } = toEngineError(error, "ask for its version");
        if (code === "driver_unavailable") throw error;
        const address = formatAddress(endpoint.address);
        const named = address.endsWith(endpoint.origin) ? address : `${address} (${endpoint.origin})`;
        tried.push({ endpoint: named, problem: message, hint });
      }
    }
    throw makeNoEngineError(tried);
  }

  /** Where it is, for people. */
  get address(): string {
    return formatAddress(this.endpoint.address);
  }

  async ping(): Promise<void> {
    await this.#ask("reach the engine", undefined, () => this.#client.ping());
  }

  /** Asks again; runtimes and live-restore change without a restart. */
  async askFacts(): Promise<EngineFacts> {
    return askFacts(this.#client);
  }

  /** Returns the id. */
  async createContainer(name: string, body: Docker.ContainerCreateOptions, signal: AbortSignal): Promise<string> {
    const action = `make the container ${name}`;
    const { id } = await this.#ask(action, signal, (abortSignal) =>
      this.#client.createContainer({ ...body, name, abortSignal }),
    );
    return readAnswer(CreatedContainer, { id }, action).id;
  }

  /** Podman only: a container whose root is a folder of the engine's machine. Returns the id. */
  async createFromFolder(name: string, rootfs: string): Promise<string> {
    const answer = await this.#ask(`make the container ${name}`, undefined, (abortSignal) =>
      postJson(
        this.#client,
        "/v4.0.0/libpod/containers/create",
        { name, rootfs, command: ["/none"], netns: { nsmode: "none" } },
        abortSignal,
      ),
    );
    return String((answer as { readonly Id?: unknown }).Id);
  }

  /** The container's standard streams: writes reach its input, reads are multiplexed frames (demux.ts). */
  async attach(id: string, signal: AbortSignal): Promise<Duplex> {
    const options = { stream: true, stdin: true, stdout: true, stderr: true, hijack: true };
    const stream = await this.#ask(`attach to the container ${id}`, signal, () =>
      this.#client.getContainer(id).attach(options),
    );
    return stream as Duplex;
  }

  /** Unpacks a tar in a folder of a container. */
  async putArchive(id: string, tar: NodeJS.ReadableStream, path: string): Promise<void> {
    await this.#ask(`put files into the container ${id}`, undefined, (abortSignal) =>
      this.#client.getContainer(id).putArchive(tar, { path, abortSignal }),
    );
  }

  async start(id: string, signal: AbortSignal): Promise<void> {
    await this.#ask(`start the container ${id}`, signal, (abortSignal) =>
      this.#client.getContainer(id).start({ abortSignal }),
    );
  }

  /** False where it did not run any more. A paused container is killed too. */
  async kill(id: string): Promise<boolean> {
    return this.#unless([404, 409], `kill the container ${id}`, (abortSignal) =>
      this.#client.getContainer(id).kill({ signal: "KILL", abortSignal }),
    );
  }

  async pause(id: string): Promise<void> {
    await this.#ask(`pause the container ${id}`, undefined, (abortSignal) =>
      this.#client.getContainer(id).pause({ abortSignal }),
    );
  }

  async unpause(id: string): Promise<void> {
    await this.#ask(`resume the container ${id}`, undefined, (abortSignal) =>
      this.#client.getContainer(id).unpause({ abortSignal }),
    );
  }

  /**
   * Removes it, its anonymous volumes included, running or not. False where there is none, or another request removes
   * it already.
   */
  async removeContainer(idOrName: string): Promise<boolean> {
    return this.#unless([404, 409], `remove the container ${idOrName}`, (abortSignal) =>
      this.#client.getContainer(idOrName).remove({ force: true, v: true, abortSignal }),
    );
  }

  /** Undefined where there is none. */
  async inspectContainer(idOrName: string): Promise<ContainerFacts | undefined> {
    const answer = await this.#orUndefined(`look at the container ${idOrName}`, (abortSignal) =>
      this.#client.getContainer(idOrName).inspect({ abortSignal }),
    );
    if (answer === undefined) return undefined;
    return describeContainer(readAnswer(InspectedContainer, answer, `look at the container ${idOrName}`));
  }

  /** Resolves once the container does not run, however long that takes. Undefined where there is none. */
  async waitContainer(id: string, signal: AbortSignal): Promise<number | undefined> {
    try {
      const stream = await postForStream(this.#client, `/containers/${id}/wait`, { condition: "not-running" }, signal);
      const answer = (await json(stream)) as { readonly StatusCode?: unknown };
      return typeof answer.StatusCode === "number" ? answer.StatusCode : undefined;
    } catch (error) {
      const coded = toEngineError(error, `wait for the container ${id}`);
      if (readStatus(coded) === 404) return undefined;
      throw coded;
    }
  }

  /** Lines of JSON, one per second, until the container ends. */
  async streamStats(id: string, signal: AbortSignal): Promise<Readable> {
    const stream = await this.#ask(`watch the container ${id}`, signal, () =>
      this.#client.getContainer(id).stats({ stream: true }),
    );
    return stream as unknown as Readable;
  }

  /** Containers that carry all of these labels, running or not. */
  async listContainers(labels: Labels): Promise<readonly ListedObject[]> {
    const filters = { label: formatLabels(labels) };
    const found = await this.#ask("list containers", undefined, (abortSignal) =>
      this.#client.listContainers({ all: true, filters, abortSignal }),
    );
    const listed = readAnswer(ListedContainers, found, "list containers");
    return listed.map(({ Id, Labels, Created }) => ({ id: Id, labels: Labels ?? {}, createdAt: Created * 1000 }));
  }

  async listVolumes(labels: Labels): Promise<readonly ListedObject[]> {
    const filters = { label: formatLabels(labels) };
    const { Volumes } = await this.#ask("list volumes", undefined, (abortSignal) =>
      this.#client.listVolumes({ filters, abortSignal }),
    );
    return (Volumes ?? []).map((volume) => {
      const created = (volume as { readonly CreatedAt?: string }).CreatedAt;
      return { id: volume.Name, labels: volume.Labels ?? {}, createdAt: Date.parse(created ?? "") || 0 };
    });
  }

  /** False where there is none or a container uses it. */
  async removeVolume(name: string): Promise<boolean> {
    return this.#unless([404, 409], `remove the volume ${name}`, (abortSignal) =>
      this.#client.getVolume(name).remove({ abortSignal }),
    );
  }

  /** Undefined where there is no such image. */
  async inspectImage(reference: string): Promise<Docker.ImageInspectInfo | undefined> {
    return this.#orUndefined(`look at the image ${reference}`, () => this.#client.getImage(reference).inspect());
  }

  async listImages(labels: Labels): Promise<readonly Docker.ImageInfo[]> {
    const filters = { label: formatLabels(labels) };
    return this.#ask("list images", undefined, (abortSignal) => this.#client.listImages({ filters, abortSignal }));
  }

  async removeImage(id: string): Promise<boolean> {
    return this.#unless([404], `remove the image ${id}`, (abortSignal) =>
      this.#client.getImage(id).remove({ force: true, abortSignal }),
    );
  }

  /** The engine's progress as lines of JSON. */
  async buildImage(
    context: NodeJS.ReadableStream,
    options: Docker.ImageBuildOptions,
    signal: AbortSignal,
  ): Promise<NodeJS.ReadableStream> {
    return this.#stream("build the image", signal, () =>
      this.#client.buildImage(context, { ...options, abortSignal: signal }),
    );
  }

  /** The engine's progress as lines of JSON. */
  async importImage(
    tar: NodeJS.ReadableStream,
    options: { readonly repo: string; readonly tag: string },
    signal: AbortSignal,
  ): Promise<NodeJS.ReadableStream> {
    return this.#stream("import the image", signal, () =>
      this.#client.importImage(tar, { ...options, abortSignal: signal }),
    );
  }

  /** Streams have no deadline but their signal's. */
  async #stream<T>(action: string, signal: AbortSignal, send: () => Promise<T>): Promise<T> {
    try {
      return await raceSignal(send(), signal);
    } catch (error) {
      throw toEngineError(error, action);
    }
  }

  async #ask<T>(
    action: string,
    signal: AbortSignal | undefined,
    send: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const limit = AbortSignal.timeout(ANSWER_MS);
    const both = signal === undefined ? limit : AbortSignal.any([signal, limit]);
    try {
      return await raceSignal(send(both), both);
    } catch (error) {
      if (!limit.aborted || signal?.aborted === true) throw toEngineError(error, action);
      throw new PaddockError("engine_unavailable", `could not ${action}: no answer in ${ANSWER_MS} ms`, {
        cause: error,
      });
    }
  }

  async #unless(
    statuses: readonly number[],
    action: string,
    send: (signal: AbortSignal) => Promise<unknown>,
  ): Promise<boolean> {
    try {
      await this.#ask(action, undefined, send);
      return true;
    } catch (error) {
      if (statuses.includes(readStatus(error) ?? 0)) return false;
      throw error;
    }
  }

  async #orUndefined<T>(action: string, send: (signal: AbortSignal) => Promise<T>): Promise<T | undefined> {
    try {
      return await this.#ask(action, undefined, send);
    } catch (error) {
      if (readStatus(error) === 404) return undefined;
      throw error;
    }
  }
}

async function askFacts(client: Docker): Promise<EngineFacts> {
  const signal = AbortSignal.timeout(FIRST_ANSWER_MS);
  try {
    const answers = Promise.all([client.version(), client.info()]);
    const [version, info] = await raceSignal(answers, signal);
    return readFacts(version, info);
  } catch (error) {
    if (!signal.aborted) throw toEngineError(error, "ask for its version");
    throw new PaddockError("engine_unavailable", `the engine did not answer in ${FIRST_ANSWER_MS} ms`, {
      cause: error,
    });
  }
}

const formatLabels = (labels: Labels): string[] =>
  Object.entries(labels).map(([name, value]) => (value === "" ? name : `${name}=${value}`));

function describeContainer({ Id, State, Image, Config }: z.infer<typeof InspectedContainer>): ContainerFacts {
  return {
    id: Id,
    running: State.Running,
    paused: State.Paused,
    oomKilled: State.OOMKilled,
    exitCode: State.ExitCode,
    error: State.Error,
    startedAt: State.StartedAt,
    pid: State.Pid > 0 ? State.Pid : null,
    image: Image,
    labels: Config.Labels ?? {},
  };
}
