import { PaddockError } from "../../errors/error.ts";
import { say } from "../render/terminal.ts";
import { signalExitCode } from "./exit-code.ts";

export interface Stops extends Disposable {
  /** Aborts when the server is told to stop while it starts. */
  readonly starting: AbortSignal;
  /** Resolves when it is told to stop. */
  readonly stopped: Promise<void>;
}

/** The first SIGTERM or Ctrl-C stops in order; a second one ends the process at once, and its sandboxes with it. */
export function catchStops(): Stops {
  const controller = new AbortController();
  const { promise: stopped, resolve } = Promise.withResolvers<void>();
  const onSignal = (name: NodeJS.Signals): void => {
    if (controller.signal.aborted) process.exit(signalExitCode(name.slice("SIG".length)));
    say(`${name}: stopping when running tasks have ended (once more ends at once)`);
    controller.abort(new PaddockError("cancelled", `stopped by ${name} while starting`));
    resolve();
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  return {
    starting: controller.signal,
    stopped,
    [Symbol.dispose]: () => {
      process.off("SIGINT", onSignal);
      process.off("SIGTERM", onSignal);
    },
  };
}
