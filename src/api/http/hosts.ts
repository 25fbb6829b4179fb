import { isIP } from "node:net";
import type { FastifyRequest } from "fastify";
import type { ServiceConfig } from "../../config/service.ts";
import { PaddockError } from "../../errors/error.ts";
import type { Server } from "./server-services.ts";

type HostConfig = Pick<ServiceConfig, "host" | "publicUrl" | "allowedHosts" | "allowedOrigins">;

/**
 * Keeps web pages away. A page that had its name resolve to us (DNS rebinding) sends that name as `Host`: only names
 * that we know are served; an address cannot be rebound. A page of another origin says so in `Origin`.
 * `allowsAnyOrigin`: there is nothing but public content, whose pages have no origin and say `null` when they load
 * their own modules and fonts.
 */
export function checkHosts(server: Server, config: HostConfig, allowsAnyOrigin: boolean): void {
  const names = new Set([
    "localhost",
    config.host.toLowerCase(),
    ...config.allowedHosts.map((name) => name.toLowerCase()),
  ]);
  if (config.publicUrl !== undefined) names.add(new URL(config.publicUrl).hostname);
  const origins = new Set(config.allowedOrigins);
  server.addHook("onRequest", async (request) => {
    const isServed = (host: string | undefined): boolean => host !== undefined && (isAddress(host) || names.has(host));
    const target = readAuthority(request.originalUrl);
    if (!isServed(readHost(request)) || (target !== undefined && !isServed(readName(target))))
      throw new PaddockError("forbidden", "This host name is not served here", {
        hint: "Add it to service.allowed_hosts (docs/service.md).",
      });
    if (allowsAnyOrigin) return;
    const { origin } = request.headers;
    if (origin === undefined || origins.has(origin) || isSameOrigin(origin, request)) return;
    throw new PaddockError("forbidden", "Requests of this origin are not served", {
      hint: "Add it to service.allowed_origins (docs/service.md).",
    });
  });
}

/** The name without its port, lower case; undefined when there is none or more than one. */
function readHost(request: FastifyRequest): string | undefined {
  const sent = request.raw.headersDistinct["host"];
  const [host = ""] = sent?.length === 1 ? sent : [];
  return readName(host);
}

const readName = (host: string): string | undefined =>
  /^(\[[0-9a-f:.]+\]|[^:@/\s]+)(?::\d{1,5})?$/i.exec(host)?.[1]?.toLowerCase().replace(/\.$/, "");

/**
 * What a request names as its target besides a path, as to a proxy: that counts before `Host`, so both have to be
 * served.
 */
function readAuthority(target: string): string | undefined {
  if (target.startsWith("/") || target === "*") return undefined;
  return ABSOLUTE.exec(target)?.[1] ?? "";
}

const ABSOLUTE = /^https?:\/\/([^/?#]*)/i;

/** The path of a request whose target is a whole URL: every rule about paths sees the same. */
export const toPath = (target: string): string => {
  const path = target.replace(ABSOLUTE, "");
  return path.startsWith("/") || path === "*" ? path : `/${path}`;
};

const isAddress = (host: string): boolean => isIP(host.replace(/^\[|\]$/g, "")) !== 0;

const isSameOrigin = (origin: string, { headers }: FastifyRequest): boolean =>
  /^https?:\/\//.test(origin) && origin.replace(/^https?:\/\//, "").toLowerCase() === headers.host?.toLowerCase();
