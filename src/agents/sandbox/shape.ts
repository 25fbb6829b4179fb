import type { AgentRow } from "../../model/agent.ts";
import type { Limits } from "../../model/limits.ts";
import type { NodeType } from "../../model/node-type.ts";

/** What a task needs of its sandbox. */
export interface Shape {
  readonly nodeType: NodeType;
  readonly network: string | readonly string[];
  readonly bare: boolean;
  readonly limits: Limits;
}

/** The sandbox of an agent that has no task yet. */
export function baseShape({ settings }: Pick<AgentRow, "settings">, limits: Shape["limits"]): Shape {
  return {
    nodeType: settings.nodeType,
    network: settings.network ?? "none",
    bare: settings.bare ?? false,
    limits,
  };
}

/**
 * Whether work for one can run in a sandbox made for the other. Time limits belong to tasks and calls, not to the
 * sandbox.
 */
export function sameShape(one: Shape, other: Shape): boolean {
  return describeShape(one) === describeShape(other);
}

function describeShape({ nodeType, network, bare, limits }: Shape): string {
  const { callTimeoutMs: _call, taskTimeoutMs: _task, ...lasting } = limits;
  const entries = (typeof network === "string" ? network.split(",") : network).map((entry) => entry.trim());
  const hosts = new Set(entries.filter((entry) => entry !== "" && entry !== "none"));
  const sizes = Object.entries(lasting).toSorted(([one], [other]) => (one < other ? -1 : 1));
  return JSON.stringify([nodeType, [...hosts].toSorted(), bare, sizes]);
}
