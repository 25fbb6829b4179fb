import type { TaskId } from "../../model/ids.ts";
import type { TaskResult } from "../../model/result.ts";
import type { CallEnd, OutputEvent, ProgressEvent, TaskEvent } from "./task-event.ts";

/**
 * Takes what becomes of a task: keeps it, shows it or sends it on. A sink that throws or rejects ends the task with
 * that error.
 */
export interface TaskSink {
  /** The intent, before anything is done. An error refuses the task. */
  begin?(taskId: TaskId, intent: object): void | Promise<void>;
  event?(event: ProgressEvent): void | Promise<void>;
  /** A promise holds up whoever writes. */
  output?(event: OutputEvent): void | Promise<void>;
  /** The next call waits for it. */
  call?(end: CallEnd): void | Promise<void>;
  /** What the result holds of a call that was taken. Default: all of it. */
  excerpt?(end: CallEnd): CallEnd;
  /** The result, once, whatever happened. An error is what the task's caller gets. */
  end?(result: TaskResult): void | Promise<void>;
}

/** Several sinks as one: each is told after the one before it. */
export function joinSinks(...sinks: readonly TaskSink[]): Required<TaskSink> {
  return {
    begin: (taskId, intent) => tellEach(sinks, (sink) => sink.begin?.(taskId, intent)),
    event: (event) => tellEach(sinks, (sink) => sink.event?.(event)),
    output: (event) => tellEach(sinks, (sink) => sink.output?.(event)),
    call: (end) => tellEach(sinks, (sink) => sink.call?.(end)),
    excerpt: (end) => sinks.reduce((kept, sink) => sink.excerpt?.(kept) ?? kept, end),
    end: (result) => tellEach(sinks, (sink) => sink.end?.(result)),
  };
}

/** Makes no promise where no sink does: output comes this way. */
function tellEach(sinks: readonly TaskSink[], tell: (sink: TaskSink) => void | Promise<void>): void | Promise<void> {
  let told: Promise<void> | undefined;
  for (const sink of sinks) told = told === undefined ? (tell(sink) ?? undefined) : told.then(() => tell(sink));
  return told;
}

/** All events through one function. */
export function watchEvents(onEvent: (event: TaskEvent) => void | Promise<void>): TaskSink {
  return { event: onEvent, output: onEvent, call: (end) => onEvent({ type: "call_finished", ...end }) };
}
