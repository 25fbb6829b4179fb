import { randomBytes } from "node:crypto";

declare const brand: unique symbol;
type Branded<Name extends string> = string & { readonly [brand]: Name };

export type SandboxId = Branded<"SandboxId">;
export type TaskId = Branded<"TaskId">;
export type ToolCallId = Branded<"ToolCallId">;
export type AgentId = Branded<"AgentId">;
export type VolumeId = Branded<"VolumeId">;

/** 128 random bits as 26 base32 characters (Crockford, lower case). */
function randomSuffix(): string {
  const alphabet = "0123456789abcdefghjkmnpqrstvwxyz";
  let bits = BigInt(`0x${randomBytes(16).toString("hex")}`);
  let text = "";
  for (let i = 0; i < 26; i++) {
    text = alphabet[Number(bits & 31n)] + text;
    bits >>= 5n;
  }
  return text;
}

export const makeSandboxId = (): SandboxId => `sbx_${randomSuffix()}` as SandboxId;
export const makeTaskId = (): TaskId => `tsk_${randomSuffix()}` as TaskId;
export const makeToolCallId = (): ToolCallId => `call_${randomSuffix()}` as ToolCallId;

export const makeAgentId = (): AgentId => `agt_${randomSuffix()}` as AgentId;
export const makeVolumeId = (): VolumeId => `vol_${randomSuffix()}` as VolumeId;

const SANDBOX_ID = /^sbx_[0-9a-hjkmnp-tv-z]{26}$/;
export const isSandboxId = (text: string): text is SandboxId => SANDBOX_ID.test(text);

const TASK_ID = /^tsk_[0-9a-hjkmnp-tv-z]{26}$/;
export const isTaskId = (text: string): text is TaskId => TASK_ID.test(text);

const VOLUME_ID = /^vol_[0-9a-hjkmnp-tv-z]{26}$/;
export const isVolumeId = (text: string): text is VolumeId => VOLUME_ID.test(text);
