import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { SweepEvent } from "../app.ts";
import type { Home } from "../config/home.ts";
import { PaddockError } from "../errors/error.ts";
import type { Telemetry } from "../telemetry/telemetry.ts";

/** Puts into the log what cannot be removed of this data folder's sandboxes, until it is disposed. */
export function reportSweeps({ root }: Home, telemetry: Telemetry): Disposable {
  const report = (message: unknown): void => {
    const event = message as SweepEvent;
    if (event.root !== root) return;
    if (event.error !== undefined) telemetry.problem("fleet.sweep", event.error);
    for (const { id, detail } of event.report?.failed ?? [])
      telemetry.problem("fleet.sweep", new PaddockError("internal", `${id} could not be removed: ${detail}`));
  };
  subscribe("paddock:sweep", report);
  return { [Symbol.dispose]: () => unsubscribe("paddock:sweep", report) };
}
