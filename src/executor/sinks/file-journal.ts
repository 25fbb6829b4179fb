import type { TaskId } from "../../model/ids.ts";
import type { TaskResult } from "../../model/result.ts";
import type { TaskJournal, TaskStore } from "../../store/task-store.ts";
import type { CallEnd } from "./task-event.ts";
import type { TaskSink } from "./task-sink.ts";

/** Keeps one task in a file of the data folder. */
export class FileJournal implements TaskSink {
  readonly #store: TaskStore;
  #journal: TaskJournal | undefined;

  constructor(store: TaskStore) {
    this.#store = store;
  }

  begin(taskId: TaskId, intent: object): void {
    this.#journal = this.#store.open(taskId, intent);
  }

  call({ record }: CallEnd): void {
    this.#journal?.append({ line: "call", record });
  }

  end({ tool_calls: _calls, values: _values, ...result }: TaskResult): void {
    try {
      this.#journal?.append({ line: "end", result });
    } finally {
      this.#journal?.close();
    }
  }
}
