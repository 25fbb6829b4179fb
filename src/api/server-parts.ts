import type { IncomingMessage, ServerResponse } from "node:http";
import type { FastifyBaseLogger, FastifyInstance, RawServerDefault } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import type { Access } from "../access/access.ts";
import type { Agents } from "../agents/agents.ts";
import type { ServiceConfig } from "../config/service.ts";
import type { Principal, Scope } from "../model/principal.ts";
import type { ArtifactStore } from "../store/artifact-store.ts";
import type { StateStore } from "../store/state-store.ts";
import type { Telemetry } from "../telemetry/telemetry.ts";

/** What the doors of the service work with. */
export interface ServerParts {
  readonly config: ServiceConfig;
  readonly agents: Agents;
  readonly access: Access;
  readonly store: StateStore;
  /** Holds what agents have published. */
  readonly artifacts: ArtifactStore;
  readonly telemetry: Telemetry;
  /** The data folder's id: agents of another one are refused with `wrong_node`. */
  readonly nodeId: string;
}

/** A Fastify instance whose schemas are zod's. */
export type Server = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  ZodTypeProvider
>;

declare module "fastify" {
  interface FastifyRequest {
    /** Set on every route that is not public, before its body is read. */
    principal: Principal;
  }
  interface FastifyContextConfig {
    /** Who may call the route: anybody, or a token of at least this scope. A route without it does not start. */
    readonly access: "public" | Scope;
    /** Time for a whole request in milliseconds. Default 30 s. */
    readonly requestMs?: number;
  }
}
