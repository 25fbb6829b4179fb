import { MIB } from "../../model/units.ts";
import type { Failure, RouteGroup } from "../http/server-services.ts";

/** Paths below `/api/v0`, ours among them, as the contract has them. */
export const RACTOR_GROUP: RouteGroup = {
  bodyLimit: 2 * MIB,
  headers: { "cache-control": "no-store" },
  findAgent: ({ routeOptions, params }) =>
    routeOptions.url?.includes("/agents/:name") ? (params as { name?: string }).name : undefined,
  sendFailure: (reply, failure) => {
    const { refused, code, message, hint } = failure;
    if (refused === "route") return reply.send();
    if (refused !== undefined) return reply.type("text/plain; charset=utf-8").send(nameRefusal(failure));
    reply.header("x-paddock-code", code).header("x-paddock-hint", hint.replace(/[^\x20-\x7e]/g, "?"));
    return reply.type("application/json; charset=utf-8").send(JSON.stringify({ message }));
  },
};

function nameRefusal({ refused, message }: Failure): string {
  if (refused === "params") return "";
  return refused === "body" ? `Failed to deserialize the JSON body into the target type: ${message}` : message;
}
