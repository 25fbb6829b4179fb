import { subscribe } from "node:diagnostics_channel";
import type { StepTaken } from "../../src/model/steps.ts";

/**
 * Loaded before the server: it kills itself right after the step that the environment names (src/model/steps.ts), the
 * n-th time that it is taken.
 */
const [step, times = "1"] = (process.env["PADDOCK_TEST_DIE_AT"] ?? "").split(":");
let left = Number(times);

subscribe("paddock:step", (message) => {
  if ((message as StepTaken).step !== step) return;
  left -= 1;
  if (left === 0) process.kill(process.pid, "SIGKILL");
});
