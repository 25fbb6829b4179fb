// Serves a store to the process that forked it (elsewhere.ts), and ends with it.

import type { AgentId } from "../../../src/model/ids.ts";
import { openStateStore } from "../../../src/store/state/open.ts";
import type { StateStore } from "../../../src/store/state-store.ts";
import { type Order, raceHere } from "./elsewhere.ts";
import { makeResponse, note, ROOMY } from "./samples.ts";

let store: StateStore | undefined;

process.on("disconnect", () => process.exit());
process.on("message", (order: Order) => void carryOut(order).then((answer) => process.send?.(answer)));

async function carryOut(order: Order): Promise<unknown> {
  if ("open" in order) {
    const { folder, databaseUrl } = order.open;
    store = openStateStore({ folder, ...(databaseUrl === null ? {} : { databaseUrl }) });
    await store.start();
    return "open";
  }
  if (store === undefined) throw new Error("not open");
  if ("race" in order) return await raceHere(store, order.race);
  return await postForEver(store, order.post.agentId as AgentId);
}

async function postForEver(store: StateStore, agentId: AgentId): Promise<never> {
  for (;;) {
    const { row } = await store.insertResponse(agentId, makeResponse(), ROOMY);
    await store.amendResponse(row.id, { segments: [note("x".repeat(5000))] });
    process.send?.(row.id);
  }
}
