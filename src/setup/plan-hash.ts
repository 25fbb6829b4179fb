import { createHash } from "node:crypto";
import type { SetupPlan } from "./plan.ts";

/** Part of every hash: raise it when equal inputs must no longer share an environment. */
export const GENERATOR_VERSION = 1;

export interface Interpreter {
  readonly path: string;
  readonly version: string;
  /** Of the program file. */
  readonly sha256: string;
}

/** Everything that decides what a template contains. */
export interface TemplateIdentity {
  readonly plan: SetupPlan;
  readonly setupCode: string;
  readonly architecture: string;
  readonly envDir: string;
  readonly protocolVersion: number;
  readonly interpreters: readonly Interpreter[];
}

/**
 * JSON with sorted keys and no white space: equal values give equal text. Properties that are undefined are left out;
 * what JSON cannot express exactly (functions, NaN, class instances) is a TypeError.
 */
export function canonicalJson(value: unknown): string {
  if (value === null || typeof value === "boolean" || typeof value === "string") return JSON.stringify(value);
  if (typeof value === "number" && Number.isFinite(value)) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (!isPlainObject(value)) throw new TypeError(`canonicalJson: ${typeof value} has no exact JSON form`);
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`);
  return `{${members.join(",")}}`;
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}

export function hashCanonical(value: unknown): string {
  return createHash("sha256").update(canonicalJson(value)).digest("hex");
}

/**
 * The name of a template: sha256 over its identity and the generator's version. The order of `interpreters` does not
 * count.
 */
export function hashTemplate(identity: TemplateIdentity): string {
  const interpreters = identity.interpreters.toSorted((a, b) => (a.path < b.path ? -1 : 1));
  return hashCanonical({ ...identity, interpreters, generatorVersion: GENERATOR_VERSION });
}
