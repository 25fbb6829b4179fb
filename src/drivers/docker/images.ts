import { createInterface } from "node:readline";
import { stripVTControlCharacters } from "node:util";
import type Docker from "dockerode";
import { PaddockError } from "../../errors/error.ts";
import { parseUntrustedJson } from "../../lib/json.ts";
import { NODE_TYPES } from "../../model/node-type.ts";
import type { ImageBuild, ImageEngine, ImageFacts, ImageName } from "../driver.ts";
import type { Engine } from "./engine/engine.ts";
import { toEngineError } from "./engine/engine-error.ts";
import { LABEL } from "./engine/labels.ts";

const LAST_LINES = 20;
const MAX_LINE_CHARACTERS = 2000;

interface Progress {
  /** Text for people, without its line end. */
  readonly text: string | undefined;
  readonly error: string | undefined;
  /** Id of the image, on the line that announces it. */
  readonly id: string | undefined;
}

const readField = (value: unknown, name: string): unknown =>
  typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>)[name] : undefined;

function findId(value: unknown): string | undefined {
  const status = readField(value, "status");
  const candidate = readField(readField(value, "aux"), "ID") ?? status;
  return typeof candidate === "string" && /^sha256:[0-9a-f]{64}$/.test(candidate) ? candidate : undefined;
}

/** Tools in a build colour their words; colours are nothing to a reader of errors. */
const clean = (text: string): string => stripVTControlCharacters(text).trimEnd().slice(0, MAX_LINE_CHARACTERS);

function readProgress(line: string): Progress {
  let value: unknown;
  try {
    value = parseUntrustedJson(line);
  } catch {
    return { text: clean(line), error: undefined, id: undefined };
  }
  const text = readField(value, "stream") ?? readField(value, "status");
  const error = readField(value, "error");
  return {
    text: typeof text === "string" ? clean(text) : undefined,
    error: typeof error === "string" ? clean(error) : undefined,
    id: findId(value),
  };
}

interface Outcome {
  readonly id: string | undefined;
  readonly error: string | undefined;
  readonly last: readonly string[];
}

/** Reads the engine's progress to its end; keeps the last lines for an error. */
async function follow(stream: NodeJS.ReadableStream, onProgress: (line: string) => void): Promise<Outcome> {
  const last: string[] = [];
  let id: string | undefined;
  let failure: string | undefined;
  for await (const line of createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY })) {
    if (line.trim() === "") continue;
    const { text, error, id: announced } = readProgress(line);
    id = announced ?? id;
    failure ??= error;
    if (text === undefined || text === "") continue;
    last.push(text);
    if (last.length > LAST_LINES) last.shift();
    onProgress(text);
  }
  return { id, error: failure, last };
}

function makeBuildError(action: string, { error, last }: Outcome): PaddockError {
  const reason = error ?? "the engine's answer ended before it named an image";
  const code = /no space left on device/i.test(reason) ? "no_space" : "image_failed";
  const output = last.length === 0 ? "" : `\n${last.join("\n")}`;
  return new PaddockError(code, `could not ${action}: ${reason}${output}`, { context: { last } });
}

function readName(labels: Readonly<Record<string, string>>): ImageName {
  const label = labels[LABEL.image];
  return NODE_TYPES.find((type) => type === label) ?? "base";
}

function readImage({ Id, Size, Config }: Docker.ImageInspectInfo): ImageFacts {
  const labels = Config?.Labels ?? {};
  return { name: readName(labels), id: Id, bytes: Size, labels };
}

/** Node images in a container engine. */
export class DockerImages implements ImageEngine {
  readonly #open: () => Promise<Engine>;

  /** `open` is called per request, so that nothing is reached before it is needed. */
  constructor(open: () => Promise<Engine>) {
    this.#open = open;
  }

  async inspect(reference: string): Promise<ImageFacts | undefined> {
    const found = await (await this.#open()).inspectImage(reference);
    return found === undefined ? undefined : readImage(found);
  }

  async build({ name, context, buildArguments, labels, noCache, onProgress, signal }: ImageBuild): Promise<ImageFacts> {
    const engine = await this.#open();
    const action = `build the image ${name}`;
    const options = {
      t: `paddock/${name}:latest`,
      buildargs: { ...buildArguments },
      nocache: noCache,
      labels: { ...labels, [LABEL.image]: name },
      rm: true,
      forcerm: true,
    };
    const outcome = await this.#run(action, () => engine.buildImage(context, options, signal), onProgress, signal);
    const built = outcome.id === undefined ? undefined : await this.inspect(outcome.id);
    if (outcome.error !== undefined || built === undefined) throw makeBuildError(action, outcome);
    return built;
  }

  async importRoot(tar: NodeJS.ReadableStream, reference: string, signal: AbortSignal): Promise<string> {
    const engine = await this.#open();
    const action = `import the image ${reference}`;
    const colon = reference.lastIndexOf(":");
    const [repo, tag] =
      colon > reference.lastIndexOf("/")
        ? [reference.slice(0, colon), reference.slice(colon + 1)]
        : [reference, "latest"];
    const outcome = await this.#run(
      action,
      () => engine.importImage(tar, { repo, tag }, signal),
      () => undefined,
      signal,
    );
    if (outcome.error !== undefined || outcome.id === undefined) throw makeBuildError(action, outcome);
    return outcome.id;
  }

  async list(): Promise<readonly ImageFacts[]> {
    const found = await (await this.#open()).listImages({ [LABEL.image]: "" });
    const newestFirst = found.toSorted((left, right) => right.Created - left.Created);
    return newestFirst.map(({ Id, Size, Labels }) => ({
      name: readName(Labels ?? {}),
      id: Id,
      bytes: Size,
      labels: Labels ?? {},
    }));
  }

  async remove(id: string): Promise<void> {
    await (await this.#open()).removeImage(id);
  }

  async #run(
    action: string,
    send: () => Promise<NodeJS.ReadableStream>,
    onProgress: (line: string) => void,
    signal: AbortSignal,
  ): Promise<Outcome> {
    try {
      return await follow(await send(), onProgress);
    } catch (error) {
      if (signal.aborted) throw toEngineError(signal.reason, action);
      throw toEngineError(error, action);
    }
  }
}
