import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { Step, StepTaken } from "../../src/model/steps.ts";

/** Acts in the middle of the named step of every sandbox of this process. */
export function onStep(step: Step, act: (sandboxId: string) => void): Disposable {
  const listen = (message: unknown): void => {
    const taken = message as StepTaken;
    if (taken.step === step) act(taken.sandboxId);
  };
  subscribe("paddock:step", listen);
  return { [Symbol.dispose]: () => unsubscribe("paddock:step", listen) };
}
