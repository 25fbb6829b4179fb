import { readFileSync } from "node:fs";
import type { Socket } from "node:net";
import Fastify, { type FastifyReply } from "fastify";
import { serializerCompiler, validatorCompiler, type ZodTypeProvider } from "fastify-type-provider-zod";
import { authenticateRequests } from "./authenticate.ts";
import { Connections } from "./clients/connections.ts";
import { boundUnsentBytes } from "./clients/unsent-bytes.ts";
import { limitRequestTime } from "./deadlines.ts";
import { handleErrors } from "./errors.ts";
import { checkHosts, toPath } from "./hosts.ts";
import { readJsonBodies } from "./json-body.ts";
import { Admission } from "./request-limits.ts";
import { makeRequestId, recordRequests } from "./request-log.ts";
import type { RouteGroups, Server, ServerParts } from "./server-services.ts";
import { answerUnknownPaths } from "./unknown-paths.ts";

/** No request arrives slower than this, whatever its route allows. */
const LONGEST_UPLOAD_MS = 600_000;
const MAX_HEADERS = 100;
const MAX_CONNECTIONS = 8192;

/** How long callers may take, and how many connections they have; other values are for tests. */
export interface ServerTimes {
  readonly headersMs: number;
  /** A whole request, unless its route says otherwise. */
  readonly requestMs: number;
  /** See `ConnectionLimits`. */
  readonly strangerIdleMs: number;
  readonly connections: number;
}
const SERVER_TIMES = { headersMs: 10_000, requestMs: 30_000, strangerIdleMs: 5000 };

type CommonParts = Pick<ServerParts, "config" | "access" | "telemetry" | "isDraining">;

/** A server with every limit and check and no route yet. The order of the checks is the order here. */
export function makeServer(
  parts: CommonParts,
  groups: RouteGroups,
  times: Partial<ServerTimes> = {},
  allowsAnyOrigin = false,
): Server {
  const { headersMs, requestMs, strangerIdleMs } = { ...SERVER_TIMES, ...times };
  const server = Fastify({
    logger: false,
    genReqId: makeRequestId,
    requestIdHeader: false,
    bodyLimit: groups.others.bodyLimit,
    return503OnClosing: false,
    forceCloseConnections: "idle",
    keepAliveTimeout: 75_000,
    requestTimeout: LONGEST_UPLOAD_MS,
    http: {
      headersTimeout: headersMs,
      connectionsCheckingInterval: Math.min(1000, headersMs),
      maxHeaderSize: 16 * 1024,
    },
    rewriteUrl: ({ url = "/" }) => toPath(url),
    routerOptions: { maxParamLength: 4096 },
    clientErrorHandler: (_error, socket) => refuseGarbage(socket),
    frameworkErrors: (error, _request, reply: FastifyReply) => void reply.code(error.statusCode ?? 400).send(),
  }).withTypeProvider<ZodTypeProvider>();
  server.server.maxHeadersCount = MAX_HEADERS;
  const most = times.connections ?? limitConnections();
  const connections = new Connections(server.server, { most, strangerIdleMs });
  server.setValidatorCompiler(validatorCompiler);
  server.setSerializerCompiler(serializerCompiler);
  server.decorate("findGroup", makeFinder(groups));
  readJsonBodies(server);
  handleErrors(server, parts.telemetry);
  recordRequests(server, parts.telemetry);
  setHeaders(server, parts);
  boundUnsentBytes(server);
  limitRequestTime(server, requestMs);
  checkHosts(server, parts.config, allowsAnyOrigin);
  authenticateRequests(server, parts, new Admission(parts.config), connections);
  server.decorate("routeTable", answerUnknownPaths(server));
  return server;
}

/** A caller that does not speak HTTP, or too slowly, learns only that. */
function refuseGarbage(socket: Socket): void {
  if (socket.writable) socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
  else socket.destroy();
}

const makeFinder = ({ below, others }: RouteGroups): Server["findGroup"] => {
  const groups = Object.entries(below);
  return (url) => groups.find(([path]) => url === path || url.startsWith(`${path}/`))?.[1] ?? others;
};

function setHeaders(server: Server, { isDraining }: CommonParts): void {
  server.addHook("onRoute", (route) => {
    route.bodyLimit ??= server.findGroup(route.url).bodyLimit;
  });
  server.addHook("onRequest", (request, reply, done) => {
    reply.header("x-content-type-options", "nosniff");
    reply.headers(server.findGroup(request.url).headers);
    done();
  });
  server.addHook("onSend", async (request, reply) => {
    if (isDraining() || (reply.statusCode >= 400 && hasMuchLeft(request.raw))) reply.header("connection", "close");
  });
}

/** What was refused before it was read is not read after all. */
const hasMuchLeft = ({ complete, headers }: { readonly complete: boolean; readonly headers: NodeJS.Dict<unknown> }) =>
  !complete && (headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 65_536);

/** At most half of the descriptors that the process may open: the rest is for sandboxes, files and the database. */
function limitConnections(): number {
  const [, files] = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8")) ?? [];
  return Math.max(64, Math.min(MAX_CONNECTIONS, Math.floor(Number(files ?? MAX_CONNECTIONS) / 2)));
}
