import { createHash } from "node:crypto";
import { PaddockError } from "../../errors/error.ts";
import { raceSignal } from "../../lib/deadline.ts";
import type { ArtifactContent } from "../artifact-store.ts";

/** Content on its way into a store: counted, hashed, held to what was announced, and ended by the signal. */
export class MeteredContent implements AsyncIterable<Buffer> {
  readonly #content: ArtifactContent;
  readonly #expected: { readonly bytes?: number; readonly sha256?: string };
  readonly #signal: AbortSignal | undefined;
  readonly #hash = createHash("sha256");
  #bytes = 0;
  #sha256: string | undefined;

  constructor(
    content: ArtifactContent,
    expected: { readonly bytes?: number; readonly sha256?: string },
    signal: AbortSignal | undefined,
  ) {
    this.#content = content;
    this.#expected = expected;
    this.#signal = signal;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Known once all of the content was read. */
  get sha256(): string {
    if (this.#sha256 === undefined) throw new PaddockError("internal", "the content was not read to its end");
    return this.#sha256;
  }

  /** Throws at the end, before the reader can take the content for whole, when it is not what was announced. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    for await (const chunk of withSignal(chunksOf(this.#content), this.#signal)) {
      this.#bytes += chunk.length;
      this.#hash.update(chunk);
      yield Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    }
    this.#sha256 = this.#hash.digest("hex");
    const { bytes, sha256 } = this.#expected;
    if (bytes !== undefined && bytes !== this.#bytes)
      throw mismatch(`the content has ${this.#bytes} bytes, ${bytes} were announced`);
    if (sha256 !== undefined && sha256 !== this.#sha256)
      throw mismatch(`the content's sha256 is ${this.#sha256}, ${sha256} was announced`);
  }
}

function mismatch(message: string): PaddockError {
  return new PaddockError("artifact_failed", message, {
    hint: "The content changed after it was recorded. Nothing was stored.",
  });
}

async function* chunksOf(content: ArtifactContent): AsyncGenerator<Uint8Array> {
  if (content instanceof Uint8Array) yield content;
  else yield* content;
}

/** A source that stalls is left alone at the signal, and told to end. */
async function* withSignal(source: AsyncGenerator<Uint8Array>, signal: AbortSignal | undefined) {
  const iterator = source[Symbol.asyncIterator]();
  let stalled = false;
  try {
    for (;;) {
      const next = iterator.next();
      next.catch(() => undefined);
      stalled = true;
      const { done, value } = await (signal === undefined ? next : raceSignal(next, signal));
      stalled = false;
      if (done === true) return;
      yield value;
    }
  } catch (thrown) {
    if (signal?.aborted) throw cancelled(signal);
    throw thrown;
  } finally {
    const ended = iterator.return(undefined).catch(() => undefined);
    if (!stalled) await ended;
  }
}

export function cancelled(signal: AbortSignal): PaddockError {
  return new PaddockError("cancelled", "the work on the artifact was cancelled", { cause: signal.reason });
}
