import type { IncomingMessage, ServerResponse } from "node:http";
import type { FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest, RawServerDefault } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import type { Access } from "../../access/access.ts";
import type { Agents } from "../../agents/agents.ts";
import type { ServiceConfig } from "../../config/service.ts";
import type { ErrorShape } from "../../errors/error.ts";
import type { Principal, Scope } from "../../model/principal.ts";
import type { ArtifactStore } from "../../store/artifact-store.ts";
import type { StateStore } from "../../store/state-store.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import type { Telemetry } from "../../telemetry/telemetry.ts";
import type { Unsent } from "./clients/unsent-bytes.ts";
import type { RouteTable } from "./route-table.ts";

/** What `/ready` says. `details` go to callers with a token only. */
export interface Readiness {
  readonly isReady: boolean;
  readonly details: Readonly<Record<string, { readonly ok: boolean; readonly detail?: string }>>;
}

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
  readonly metrics: Pick<Metrics, "text" | "contentType">;
  /** Driver, store, disk and whether the server drains. Never throws. */
  readonly checkReadiness: () => Promise<Readiness>;
  /** The server is about to stop: what is asked from now on should come over a new connection, to another server. */
  readonly isDraining: () => boolean;
}

/** A failure as its caller may know it. */
export interface Failure extends ErrorShape {
  readonly status: number;
  /** What of the request was refused before a handler had it: no route has its path or method, or it is malformed. */
  readonly refused?: "route" | "params" | "query" | "body" | "form";
}

/** What the routes of one protocol have in common. Each protocol declares its own. */
export interface RouteGroup {
  readonly bodyLimit: number;
  /** Of every answer. */
  readonly headers: Readonly<Record<string, string>>;
  /** The agent that the path of a request names: a token that is limited to agents reaches no other request. */
  findAgent(request: FastifyRequest): string | undefined;
  /** Answers in the protocol's form. The status is set. */
  sendFailure(reply: FastifyReply, failure: Failure): FastifyReply;
}

/** The protocols of a server. */
export interface RouteGroups {
  /** By the path that a group's routes lie below. */
  readonly below: Readonly<Record<string, RouteGroup>>;
  /** Of every other path. */
  readonly others: RouteGroup;
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
  interface FastifyInstance {
    /** Every route, for tests that must not miss one. */
    readonly routeTable: RouteTable;
    /** The group of a path, or of a route's pattern. */
    findGroup(url: string): RouteGroup;
  }
  interface FastifyRequest {
    /** Set on every route that is not public, before its body is read. */
    principal: Principal;
    /** What its caller has not yet read of earlier answers counts here. */
    unsent: Unsent;
    /** Code of the error table, once the request has failed with one. */
    errorCode: string | undefined;
  }
  interface FastifyContextConfig {
    /** Who may call the route: anybody, or a token whose scope covers this one. A route without it does not start. */
    readonly access: "public" | Scope;
    /** Time for a whole request in milliseconds, `Infinity` for as long as it takes. Default 30 s. */
    readonly requestMs?: number;
    /** Passwords are tried here: each address gets few tries. */
    readonly isLogin?: boolean;
    /** What a token of another scope is told. Default: `Insufficient permissions`. */
    readonly denied?: string;
    /**
     * The handler looks at `principal.agents` itself. Without it a token that is limited to agents reaches only routes
     * whose path names one of them (`RouteGroup.findAgent`).
     */
    readonly checksAgents?: boolean;
  }
}
