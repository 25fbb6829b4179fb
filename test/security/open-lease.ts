import type { App } from "../../src/app.ts";
import { compileLimits } from "../../src/executor/compile.ts";
import type { Lease } from "../../src/fleet/fleet.ts";
import type { NodeType } from "../../src/model/node-type.ts";

/** A bare sandbox without network. */
export async function openLease(app: App, nodeType: NodeType, limits = compileLimits(undefined)): Promise<Lease> {
  return await app.fleet.lease({
    nodeType,
    limits,
    network: "none",
    env: {},
    bare: true,
    signal: new AbortController().signal,
    onProgress: () => undefined,
  });
}
