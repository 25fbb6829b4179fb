import { MIB } from "../../model/units.ts";
import type { RouteGroup } from "../http/server-services.ts";

/** Health, metrics, documents and published content. */
export const OPERATIONS_GROUP: RouteGroup = {
  bodyLimit: MIB,
  headers: {},
  findAgent: () => undefined,
  sendFailure: (reply, { status, code, message, hint, retryable }) => {
    if (status === 401) reply.header("www-authenticate", "Bearer");
    return reply.type("application/json; charset=utf-8").send(JSON.stringify({ code, message, hint, retryable }));
  },
};
