import { randomBytes } from "node:crypto";
import { mkdirSync, rmSync } from "node:fs";
import { PassThrough } from "node:stream";
import { type App, createApp } from "../../src/app.ts";
import type { Config } from "../../src/config/config.ts";
import { type Home, resolveHome } from "../../src/config/home.ts";
import { compileService, type ServiceConfig } from "../../src/config/service.ts";
import type { Scope } from "../../src/model/principal.ts";
import { createService, type Service, type ServiceOptions } from "../../src/service.ts";
import { testHome } from "./home.ts";

export interface TestServiceOptions extends Pick<ServiceOptions, "renewAdminToken" | "acceptDatabase" | "times"> {
  /** Over the defaults; the port is free, nothing is logged and no request is too many. */
  readonly service?: Partial<ServiceConfig>;
  readonly config?: Partial<Config>;
  /** A data folder of an earlier `startService`, for a restart; it is kept then. */
  readonly root?: string;
}

export interface TestService extends AsyncDisposable {
  readonly url: string;
  readonly adminToken: string;
  readonly service: Service;
  readonly app: App;
  readonly root: string;
  /** What was logged so far. */
  logged(): string;
  /** A token of a principal of type User. Default scope: `write`. */
  token(principal: string, scope?: Scope): Promise<string>;
}

export const makeServiceRoot = (): string => `/var/tmp/paddock-svc-${randomBytes(4).toString("hex")}`;

/** The copy of Node and the templates are shared with the other suites; everything else is this service's own. */
function makeHome(root: string): Home {
  mkdirSync(root, { recursive: true, mode: 0o711 });
  const home = resolveHome({ PADDOCK_HOME: root }, process.getuid?.() ?? 0);
  return { ...home, bin: testHome.bin, templates: testHome.templates };
}

/**
 * A service on a free port of this machine, in this process, over bubblewrap. CloseStack it removes its data folder
 * unless `root` was given.
 */
export async function startService(options: TestServiceOptions = {}): Promise<TestService> {
  const root = options.root ?? makeServiceRoot();
  const service = {
    ...compileService({}, {}),
    ...{ port: 0, ratePerSecond: 1e6, rateBurst: 1e6 },
    ...options.service,
  };
  const app = await createApp({
    env: { ...process.env, PADDOCK_HOME: root },
    config: { home: makeHome(root), service, ...options.config },
  });
  const log: string[] = [];
  const logTo = new PassThrough().on("data", (chunk: Buffer) => log.push(chunk.toString()));
  const started = await createService(app, {
    renewAdminToken: options.renewAdminToken ?? options.root !== undefined,
    logTo,
    ...(options.acceptDatabase === undefined ? {} : { acceptDatabase: options.acceptDatabase }),
    ...(options.times === undefined ? {} : { times: options.times }),
  }).catch(async (error: unknown) => {
    await app[Symbol.asyncDispose]();
    throw error;
  });
  const adminToken = started.adminToken ?? "";
  return {
    ...{ url: started.url, adminToken, service: started, app, root },
    logged: () => log.join(""),
    token: async (principal, scope) => {
      const response = await fetch(`${started.url}/api/v0/auth/token`, {
        method: "POST",
        headers: { authorization: `Bearer ${adminToken}`, "content-type": "application/json" },
        body: JSON.stringify({ principal, type: "User", scope }),
      });
      const reply = (await response.json()) as { token?: string };
      if (reply.token === undefined) throw new Error(`no token: ${response.status} ${JSON.stringify(reply)}`);
      return reply.token;
    },
    [Symbol.asyncDispose]: async () => {
      try {
        await started[Symbol.asyncDispose]();
      } finally {
        await app[Symbol.asyncDispose]();
        if (options.root === undefined) rmSync(root, { recursive: true, force: true });
      }
    },
  };
}
