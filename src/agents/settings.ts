import { z } from "zod";
import { PaddockError } from "../errors/error.ts";
import { compileLimits, describeLimits } from "../executor/compile.ts";
import { checkInput } from "../executor/input-check.ts";
import type { AgentSettings } from "../model/agent.ts";
import { ENVIRONMENT_NAME } from "../model/fields.ts";
import type { Limits } from "../model/limits.ts";
import { type NodeType, parseNodeType } from "../model/node-type.ts";
import { type LimitsInput, TaskInput } from "../model/task.ts";
import { parsePolicy } from "../network/policy/policy.ts";

/** Fields of `POST /agents` that say what its sandbox is made from. */
export interface SettingsRequest {
  readonly name: string;
  /** Any JSON; only `node_type`, `network`, `bare` and `limits` of an object are looked at. */
  readonly metadata?: unknown;
  readonly tags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly setup?: string | null;
  readonly instructions?: string | null;
}

/** Names and values travel to the sandbox in one frame of 64 KiB, beside what the node type sets. */
const MAX_ENV_BYTES = 32 * 1024;
const MAX_TEXT = 1024 * 1024;
const HINT = "docs/agents.md shows what an agent is made from, docs/responses.md from which fields.";
const WORKSPACE_STEP = 16 * 1024 * 1024;

const { node_type, network, bare, limits } = TaskInput.shape;
const Metadata = z.object({ node_type, network, bare, limits });
const Text = z.string().max(MAX_TEXT);

/** In this order: a name may end in more than one of them. */
const SUFFIXES: readonly (readonly [string, NodeType])[] = [
  ["-python", "python"],
  ["-javascript", "javascript"],
  ["-file-ops", "file"],
  ["-web-ops", "web"],
];
/** `task-{id}-{node_type}`; other names may well end in these words by chance. */
const TASK_NAME = /^task-.+-(file|web|node|js)$/;

/**
 * What an agent's sandbox is made from. The node type is `metadata.node_type`, else the first tag that is one, else the
 * end of the name, else `python`. Throws `invalid_request` with the field; no value of `env` stands in a message.
 */
export function readSettings(request: SettingsRequest): AgentSettings {
  const given = checkInput(Metadata, pickKnown(request.metadata), "metadata", HINT);
  const env = request.env ?? {};
  checkEnv(env);
  if (given.network !== undefined) checkPolicy(given.network);
  return {
    nodeType: given.node_type ?? typeOfTags(request.tags ?? []) ?? typeOfName(request.name) ?? "python",
    network: given.network,
    bare: given.bare,
    limits: roundWorkspace(given.limits ?? {}),
    env,
    setup: readText(request.setup, "setup"),
    instructions: readText(request.instructions, "instructions"),
  };
}

/**
 * Nobody gets more than the operator gives: who asks for it is refused (`invalid_request` with the field), a default is
 * cut.
 */
export function fitLimits(limits: LimitsInput, most: Limits): LimitsInput {
  const [defaults, bounds] = [describeLimits(compileLimits(undefined)), describeLimits(most)];
  const fitting: LimitsInput = { ...limits };
  for (const field of Object.keys(bounds) as (keyof LimitsInput)[]) {
    if ((limits[field] ?? 0) > bounds[field])
      throw new PaddockError("invalid_request", `metadata: limits.${field}: at most ${bounds[field]} is given here`, {
        hint: HINT,
      });
    if (limits[field] === undefined && defaults[field] > bounds[field]) fitting[field] = bounds[field];
  }
  return fitting;
}

function pickKnown(metadata: unknown): Record<string, unknown> {
  if (typeof metadata !== "object" || metadata === null || Array.isArray(metadata)) return {};
  const known = Object.keys(Metadata.shape).filter((key) => Object.hasOwn(metadata, key));
  return Object.fromEntries(known.map((key) => [key, (metadata as Record<string, unknown>)[key] ?? undefined]));
}

/** A formatted image is kept for each size that was ever used, so there are not as many sizes as numbers. */
function roundWorkspace({ workspace_bytes, ...limits }: LimitsInput): LimitsInput {
  if (workspace_bytes === undefined) return limits;
  return { ...limits, workspace_bytes: Math.ceil(workspace_bytes / WORKSPACE_STEP) * WORKSPACE_STEP };
}

function checkEnv(env: Readonly<Record<string, string>>): void {
  const refuse = (rule: string): never => {
    throw new PaddockError("invalid_request", `env: ${rule}`, { hint: HINT });
  };
  for (const [name, value] of Object.entries(env)) {
    if (!ENVIRONMENT_NAME.test(name))
      refuse(`${JSON.stringify(name.slice(0, 128))} is no name: letters, digits and _, no digit first`);
    if (value.includes("\0") || !value.isWellFormed()) refuse(`the value of ${name} is no text without NUL`);
  }
  if (Buffer.byteLength(JSON.stringify(env)) > MAX_ENV_BYTES) refuse(`more than ${MAX_ENV_BYTES} bytes in all`);
}

function checkPolicy(policy: string | readonly string[]): void {
  try {
    parsePolicy(policy);
  } catch (error) {
    if (!(error instanceof PaddockError)) throw error;
    throw new PaddockError("invalid_request", `metadata: network: ${error.message}`, {
      hint: "docs/network.md shows how policies are written, docs/agents.md where.",
      cause: error,
    });
  }
}

function typeOfTags(tags: readonly string[]): NodeType | undefined {
  for (const tag of tags) {
    const type = parseNodeType(tag.toLowerCase());
    if (type !== undefined) return type;
  }
  return undefined;
}

function typeOfName(name: string): NodeType | undefined {
  const lower = name.toLowerCase();
  const [, short] = TASK_NAME.exec(lower) ?? [];
  return (
    SUFFIXES.find(([suffix]) => lower.endsWith(suffix))?.[1] ?? (short === undefined ? undefined : parseNodeType(short))
  );
}

function readText(text: string | null | undefined, field: string): string | undefined {
  if (text === undefined || text === null || text === "") return undefined;
  return checkInput(Text, text, field, HINT);
}
