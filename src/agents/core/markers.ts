import { randomUUID } from "node:crypto";
import { formatTime } from "../../lib/timestamp.ts";
import type { AgentRow } from "../../model/agent.ts";
import type { Segment } from "../../model/response.ts";
import type { ResponseWrites } from "../../store/state-store/responses.ts";

/** Who acts when no principal does. */
export const SYSTEM = "system";

/** `lost`: its sandbox ended by itself. `failed`: it could not be made. `capacity`: others needed the room. */
export type SleepReason = "user" | "idle_timeout" | "busy_timeout" | "lost" | "failed" | "capacity" | "server_restart";

export type WakeReason = "user_wake" | "implicit_wake";

const SLEEP_NOTES: Readonly<Record<SleepReason, string>> = {
  user: "User requested sleep",
  idle_timeout: "Idle timeout",
  busy_timeout: "Busy timeout",
  lost: "The sandbox ended",
  failed: "The sandbox could not be made",
  capacity: "Others needed the room",
  server_restart: "The server was restarted",
};

const WAKE_NOTES: Readonly<Record<WakeReason, string>> = {
  user_wake: "User wake",
  implicit_wake: "Incoming request",
};

export interface SleepFacts {
  readonly reason: SleepReason;
  readonly by: string;
  readonly delaySeconds: number;
  readonly note?: string | undefined;
  readonly runtimeMs: number;
}

export const makeSlept = ({ reason, by, delaySeconds, note, runtimeMs }: SleepFacts): Segment => ({
  type: "slept",
  note: note ?? SLEEP_NOTES[reason],
  reason,
  by,
  delay_seconds: delaySeconds,
  at: formatTime(),
  runtime_seconds: Math.floor(runtimeMs / 1000),
});

export const makeWoke = (reason: WakeReason, by: string): Segment => ({
  type: "woke",
  note: WAKE_NOTES[reason],
  reason,
  by,
  at: formatTime(),
});

/** The last segment of a response that was ended from outside. */
export const makeCancelled = (reason: "user_cancel" | SleepReason): Segment => ({
  type: "cancelled",
  reason,
  at: formatTime(),
});

/** A row about the agent itself. One that goes meanwhile needs none. */
export async function writeMarker(
  store: ResponseWrites,
  agent: Pick<AgentRow, "id">,
  ...segments: readonly Segment[]
): Promise<void> {
  await store.insertMarker(agent.id, randomUUID(), segments);
}
