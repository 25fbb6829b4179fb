import type { AgentRow, AgentSettings, PublishPermissions } from "../model/agent.ts";
import type { Principal } from "../model/principal.ts";
import type { OutputItem, ResponseOptions, ResponseRow, ResponseStatus, Segment } from "../model/response.ts";
import type { SandboxFiles } from "../sandbox/files.ts";
import type { IdempotencyKey, ResponseWithSegments } from "../store/state-store/responses.ts";
import type { LiveEvent } from "./events/live-events.ts";

export interface NewAgent {
  readonly name: string;
  readonly description: string | null;
  readonly metadata: unknown;
  readonly tags: readonly string[];
  readonly idleTimeoutSeconds: number;
  readonly busyTimeoutSeconds: number;
  readonly settings: AgentSettings;
  /** Becomes the first response. */
  readonly prompt: string | null;
}

export interface RemixRequest {
  readonly name: string;
  /** Undefined: the parent's. */
  readonly metadata?: unknown;
  readonly code: boolean;
  readonly env: boolean;
  readonly prompt: string | null;
}

export interface PostRequest {
  /** Verbatim; `input.content` items are the work (docs/ractor.md). */
  readonly input: unknown;
  readonly options: ResponseOptions;
  /** Refuse with `agent_busy` instead of queueing. */
  readonly refuseBusy: boolean;
  /** May wake a sleeping agent. Without it a post to one throws `forbidden`. */
  readonly mayWake: boolean;
  readonly key?: IdempotencyKey;
}

export interface SleepRequest {
  readonly delaySeconds: number;
  readonly note?: string;
}

/** What `GET .../details` shows of an agent besides the contract's fields. */
export interface AgentDetails {
  readonly nodeType: string;
  readonly network: string | readonly string[] | null;
  readonly bare: boolean | null;
  readonly limits: object;
  readonly setup: AgentRow["setupReport"];
  readonly queue: { readonly pending: number; readonly processing: number };
  /** Null while it sleeps. */
  readonly sandboxId: string | null;
  /** The moment the pending sleep is due, RFC 3339. */
  readonly sleepsAt: string | null;
}

export interface ResponseAmendment {
  readonly status?: ResponseStatus;
  readonly input?: unknown;
  readonly segments: readonly Segment[];
  readonly outputContent?: readonly OutputItem[];
}

/**
 * Named, long-lived sandboxes and their work. Who may do what is the door's to decide; every method takes an agent as
 * the door has read it and looks at the present state itself. Messages of `not_found`, `wrong_state`, `agent_sleeping`
 * and so on are the contract's sentences.
 */
export interface Agents extends AsyncDisposable {
  /**
   * Begins the reign over this data folder and takes up what an earlier process left: volumes without an agent go,
   * agents that were awake sleep (marker `server_restart`), interrupted responses are requeued if idempotent and else
   * fail with `task_lost`, agents with pending work wake. Returns what was found.
   */
  start(): Promise<{
    readonly requeued: number;
    readonly lost: number;
    readonly woken: number;
    readonly volumesRemoved: number;
  }>;
  /**
   * Takes no new work (`draining`), waits for what runs until `graceMs` is over, then hands back what is left:
   * idempotent work is requeued, other work fails with `task_lost`.
   */
  drain(graceMs: number): Promise<{ readonly finished: number; readonly handedBack: number }>;

  /** Throws `name_taken`, `idempotency_conflict`, `draining`. */
  create(request: NewAgent, by: Principal, key?: IdempotencyKey): Promise<AgentRow>;
  /**
   * Copies workspace and settings of a parent that may sleep. The copy goes on after this resolves; its failure is the
   * new agent's setup report.
   */
  remix(parent: AgentRow, request: RemixRequest, by: Principal): Promise<AgentRow>;
  /** Cancels what it does, removes its sandbox and its volume, then its rows. */
  remove(agent: AgentRow): Promise<void>;
  /**
   * The agent goes to sleep after the delay, without holding up anybody. Throws `wrong_state` when it sleeps already.
   */
  sleep(agent: AgentRow, request: SleepRequest, by: Principal): Promise<AgentRow>;
  /** Throws `wrong_state` unless it sleeps. `prompt` becomes a response. */
  wake(agent: AgentRow, prompt: string | null, by: Principal): Promise<AgentRow>;
  /**
   * Ends the running response, else the newest pending one; its processes are dead when this resolves. False when there
   * was none.
   */
  cancel(agent: AgentRow): Promise<boolean>;
  cancelResponse(agent: AgentRow, responseId: string): Promise<boolean>;

  /**
   * The row exists when this resolves. Throws `queue_full`, `agent_busy`, `forbidden`, `context_full`,
   * `idempotency_conflict`, `draining`, `not_found`.
   */
  post(
    agent: AgentRow,
    request: PostRequest,
    by: Principal,
  ): Promise<{ readonly row: ResponseRow; readonly isNew: boolean }>;
  /** A client's own word on a response. Throws `task_ended` for a status after the end. */
  amend(agent: AgentRow, responseId: string, change: ResponseAmendment): Promise<ResponseWithSegments>;
  /**
   * The response once it has ended, or has another version than `version`, or as it is when `signal` aborts. Undefined
   * when it is gone.
   */
  awaitResponse(
    responseId: string,
    until: { readonly version: number } | "ended",
    signal: AbortSignal,
  ): Promise<ResponseWithSegments | undefined>;
  /**
   * Events of one response from the beginning, or after `lastEventId`. Ends after `done`. Leaves when `signal` aborts.
   * A reader that is too slow misses output (an event `gap` says how much), never a segment.
   */
  follow(responseId: string, lastEventId: string | undefined, signal: AbortSignal): AsyncIterable<LiveEvent>;

  /**
   * The files of an agent's workspace, paths relative to it. Waits for an agent that is being made. Throws
   * `agent_sleeping`.
   */
  files(agent: AgentRow, signal: AbortSignal): Promise<SandboxFiles>;
  /** Seconds with a sandbox: in all, and since it last woke. */
  runtime(agent: AgentRow): Promise<{ readonly totalSeconds: number; readonly currentSeconds: number }>;
  details(agent: AgentRow): Promise<AgentDetails>;
  /** Takes a snapshot of `content/`, also of a sleeping agent. Throws `too_large`. */
  publish(agent: AgentRow, permissions: PublishPermissions, by: Principal): Promise<AgentRow>;
  unpublish(agent: AgentRow): Promise<AgentRow>;
  /** `compact` has no model to sum up with, so it clears, too, and says so in its marker. */
  clearContext(agent: AgentRow, kind: "clear" | "compact"): Promise<AgentRow>;
}
