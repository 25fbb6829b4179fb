import { channel } from "node:diagnostics_channel";

/** The steps of making and removing a sandbox, in their order. */
export const STEPS = [
  "run folder begun",
  "run folder",
  "listening",
  "held",
  "container made",
  "container started",
  "container recorded",
  "driver made it",
  "supervisor answered",
  "closing",
  "container removed",
  "driver removed it",
  "run folder removed",
] as const;
export type Step = (typeof STEPS)[number];

/** What subscribers of `paddock:step` get, at once and in the process that takes the step. Crash tests end it there. */
export interface StepTaken {
  readonly step: Step;
  readonly sandboxId: string;
}

const steps = channel("paddock:step");

/** Says that a step has been taken. Costs nothing without subscribers. */
export function announceStep(step: Step, sandboxId: string): void {
  if (steps.hasSubscribers) steps.publish({ step, sandboxId } satisfies StepTaken);
}
