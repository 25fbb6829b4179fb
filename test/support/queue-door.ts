import { type PaddockError, toPaddockError } from "../../src/errors/error.ts";
import type { Executor } from "../../src/executor/executor.ts";
import { checkInput } from "../../src/executor/input-check.ts";
import { makeLeasePlace } from "../../src/executor/lease-place.ts";
import type { Place } from "../../src/executor/place.ts";
import type { TaskSink } from "../../src/executor/sinks/task-sink.ts";
import type { Fleet, Lease } from "../../src/fleet/fleet.ts";
import type { RecordedError } from "../../src/model/record.ts";
import type { TaskStatus } from "../../src/model/result.ts";
import { TaskInput } from "../../src/model/task.ts";

/** What the door puts on its queue of answers. */
export type Answer =
  | { readonly type: "accepted"; readonly id: string; readonly taskId: string }
  | { readonly type: "output"; readonly id: string; readonly text: string }
  | { readonly type: "call"; readonly id: string; readonly operation: string; readonly verdict: string }
  | { readonly type: "done"; readonly id: string; readonly status: TaskStatus; readonly error?: RecordedError }
  | { readonly type: "refused"; readonly id: string; readonly code: string };

/**
 * A door as small as one can be: takes tasks as messages, one at a time, and answers with messages. Nothing else keeps
 * them.
 */
export class QueueDoor {
  readonly answers: Answer[] = [];
  readonly #executor: Executor;
  readonly #place: Place;

  constructor(executor: Executor, place: Place) {
    this.#executor = executor;
    this.#place = place;
  }

  async take(id: string, message: string): Promise<void> {
    try {
      const task = checkInput(TaskInput, JSON.parse(message), "message");
      await this.#executor.runTask(task, { place: this.#place, sink: this.#answerTo(id) });
    } catch (error) {
      this.answers.push({ type: "refused", id, code: toPaddockError(error).code });
    }
  }

  #answerTo(id: string): TaskSink {
    const { answers } = this;
    return {
      begin: (taskId) => void answers.push({ type: "accepted", id, taskId }),
      output: ({ chunk }) => void answers.push({ type: "output", id, text: chunk.toString() }),
      call: ({ record }) =>
        void answers.push({ type: "call", id, operation: record.operation, verdict: record.verdict }),
      end: ({ status, error }) => void answers.push({ type: "done", id, status, ...(error && { error }) }),
    };
  }
}

/** One sandbox for all tasks: made with the first one, and again when it has ended. */
export class WarmPlace implements Place, AsyncDisposable {
  readonly #fleet: Fleet;
  #lease: Lease | undefined;

  constructor(fleet: Fleet) {
    this.#fleet = fleet;
  }

  async open(task: Parameters<Place["open"]>[0]) {
    if (this.#lease?.sandbox.end !== undefined) await this[Symbol.asyncDispose]();
    const { limits, nodeType, signal } = task;
    const sandbox = { nodeType, limits, signal, network: "none", env: {}, bare: true, onProgress: () => undefined };
    this.#lease ??= await this.#fleet.lease(sandbox);
    return await makeLeasePlace(this.#lease).open(task);
  }

  /** Ends the sandbox behind the back of its tasks. */
  async end(error: PaddockError): Promise<void> {
    await this.#lease?.sandbox.kill(error);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lease?.[Symbol.asyncDispose]();
    this.#lease = undefined;
  }
}
