import type { TaskJournal, TaskStore } from "../../store/task-store.ts";
import type { TaskSink } from "./task-sink.ts";

/** Keeps one task in a file of the data folder. */
export function makeFileJournal(store: TaskStore): TaskSink {
  let journal: TaskJournal | undefined;
  return {
    begin: (taskId, intent) => {
      journal = store.open(taskId, intent);
    },
    call: ({ record }) => journal?.append({ line: "call", record }),
    end: ({ tool_calls: _calls, values: _values, ...result }) => {
      try {
        journal?.append({ line: "end", result });
      } finally {
        journal?.close();
      }
    },
  };
}
