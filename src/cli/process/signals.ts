import { PaddockError } from "../../errors/error.ts";
import { outputLost } from "../render/output-loss.ts";
import { say } from "../render/terminal.ts";

export interface Interrupts extends Disposable {
  /** Aborts on the first Ctrl-C or SIGTERM, and when nobody reads the output any more. */
  readonly signal: AbortSignal;
}

/** The first Ctrl-C or SIGTERM cancels and lets clean-up run; a second one ends the process at once. */
export function catchInterrupts(): Interrupts {
  const controller = new AbortController();
  const onSignal = (name: NodeJS.Signals): void => {
    if (controller.signal.aborted) process.exit(name === "SIGINT" ? 130 : 143);
    say(`${name}: cancelling (once more ends at once)`);
    controller.abort(new PaddockError("cancelled", `interrupted by ${name}`));
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  return {
    signal: AbortSignal.any([controller.signal, outputLost]),
    [Symbol.dispose]: () => {
      process.off("SIGINT", onSignal);
      process.off("SIGTERM", onSignal);
    },
  };
}
