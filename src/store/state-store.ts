import type { AccessStore } from "./state-store/access.ts";
import type { AgentStore } from "./state-store/agents.ts";
import type { PublicationStore } from "./state-store/publications.ts";
import type { ResponseQueue } from "./state-store/queue.ts";
import type { ReignStore } from "./state-store/reigns.ts";
import type { ResponseReads, ResponseWrites } from "./state-store/responses.ts";
import type { UpkeepStore } from "./state-store/upkeep.ts";

/**
 * What the service must not lose: agents, responses with their segments and records, tokens, operators. Each method is
 * one transaction and durable when it resolves. Two processes may use one database: what a write depends on is checked
 * in the same statement.
 *
 * All methods throw `no_space` when the database's disk is full: nothing is changed then. They throw `state_failed`
 * when it fails: nothing is half changed then, but where only the answer was lost, the change is there.
 */
export interface StateStore
  extends AgentStore,
    PublicationStore,
    ResponseReads,
    ResponseWrites,
    ResponseQueue,
    ReignStore,
    AccessStore,
    UpkeepStore {}
