import type { ErrorCode } from "../../../errors/codes.ts";
import { PaddockError } from "../../../errors/error.ts";
import { noAgent } from "../../../errors/not-found.ts";
import { Deadline, raceSignal } from "../../../lib/deadline.ts";
import type { AgentRow } from "../../../model/agent.ts";
import type { Principal } from "../../../model/principal.ts";
import type { SandboxFiles } from "../../../sandbox/files.ts";
import type { ServerParts } from "../../http/server-services.ts";
import { invalidPath } from "./file-paths.ts";
import type { FileSlots } from "./file-slots.ts";

const CALL_MS = 15_000;

export interface FileParts extends ServerParts {
  readonly fileSlots: FileSlots;
}

/** Who reads or writes which agent's files, until when. */
export interface FileCaller {
  readonly agent: AgentRow;
  readonly principal: Principal;
  readonly gone: AbortSignal;
}

/**
 * One file operation in an agent's sandbox, under the contract's 15 s and with its sentences. It never wakes an agent.
 * Throws `timeout`, `agent_sleeping`, and what `nameFailure` says.
 */
export async function callFiles<T>(
  parts: FileParts,
  caller: FileCaller,
  work: (files: SandboxFiles) => Promise<T>,
): Promise<T> {
  return await holdFiles(parts, caller, async (files, slot) => {
    using _ = slot;
    return await work(files);
  });
}

/**
 * The same for work that goes on after its answer: whoever takes the slot gives it back. It is given back at once where
 * `work` fails.
 */
export async function holdFiles<T>(
  parts: FileParts,
  { agent, principal, gone }: FileCaller,
  work: (files: SandboxFiles, slot: Disposable) => Promise<T>,
): Promise<T> {
  using deadline = Deadline.after(CALL_MS, gone);
  const { signal } = deadline;
  const call = async (): Promise<T> => {
    const slot = await parts.fileSlots.acquire(agent, principal, signal);
    try {
      const done = await work(await parts.agents.files(agent, signal), slot);
      if (signal.aborted) slot[Symbol.dispose]();
      return done;
    } catch (error) {
      slot[Symbol.dispose]();
      throw error;
    }
  };
  try {
    return await raceSignal(call(), signal);
  } catch (error) {
    if (deadline.timedOut) throw new PaddockError("timeout", "Timed out waiting for the file operation");
    throw await nameFailure(parts, agent, error);
  }
}

const LOST: ReadonlySet<string> = new Set(["sandbox_lost", "sandbox_closed", "supervisor_lost"]);
const TOLD: ReadonlySet<string> = new Set(["not_found", "agent_sleeping"]);

const SENTENCES: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  not_found: ["not_found", "File or directory not found"],
  not_a_directory: ["not_found", "File or directory not found"],
  is_a_directory: ["invalid_request", "Path is a directory"],
  not_a_file: ["invalid_request", "Path is not a regular file"],
  permission: ["forbidden", "Permission denied"],
  no_space: ["no_space", "The agent's workspace is full"],
};

/** What a supervisor said, in the contract's words. */
export async function nameFailure(parts: ServerParts, agent: AgentRow, error: unknown): Promise<unknown> {
  if (!(error instanceof PaddockError)) return error;
  if (LOST.has(error.code)) return await nameLoss(parts, agent, error);
  const reason = error.context["reason"];
  if (reason === "refused" || reason === "invalid") return invalidPath();
  const known = typeof reason === "string" && Object.hasOwn(SENTENCES, reason) ? SENTENCES[reason] : undefined;
  return known === undefined ? error : new PaddockError(known[0], known[1], { cause: error });
}

/**
 * A sandbox that ends under a call does so because its agent sleeps, is deleted, or gets another one for its next task.
 */
async function nameLoss({ agents, store }: ServerParts, agent: AgentRow, cause: PaddockError): Promise<PaddockError> {
  if ((await store.getAgent(agent.id)) === undefined) return noAgent(cause);
  try {
    await agents.files(agent, AbortSignal.abort());
  } catch (state) {
    if (state instanceof PaddockError && TOLD.has(state.code)) return state;
  }
  return new PaddockError("sandbox_closed", "The agent's sandbox was replaced during the file operation", { cause });
}
