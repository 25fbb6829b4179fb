// Node reads proxy and certificate variables when it starts; a process that was started ahead of need gets them later.
// And only when the code first reaches for the network: Node's HTTP and TLS code cost 6 MiB and 2 ms of every run's end.
import fs from "node:fs";
import { registerHooks, syncBuiltinESMExports } from "node:module";

const PROXY_NAMES = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"].flatMap((name) => [name, name.toLowerCase()]);
const NO_PROXIES = { HTTP_PROXY: "http://127.0.0.1:9", NO_PROXY: "*" };
const MODULES = /^(?:node:)?(?:https?|http2|tls)$/;

const originalFetch = globalThis.fetch;
let wanted = {};
let proxies = process.env.NODE_USE_ENV_PROXY === "1" ? selectProxies(process.env) : {};
let extraCaFile = process.env.NODE_EXTRA_CA_CERTS;
let wantedCaFile = extraCaFile;
let restoreProxies = () => {};
let hooks = null;

/** Makes `fetch`, `http` and `https` follow the environment's proxies and extra certificates from now on. */
export function configureNetwork(env) {
  wanted = selectProxies(env);
  wantedCaFile = env.NODE_EXTRA_CA_CERTS || extraCaFile;
  if (hooks === null) apply();
}

/** Waits for the first use of what reaches the network: `fetch`, and the modules that connect. */
export function watchNetworkUse() {
  defineFetch({
    get: () => {
      startNetworkUse();
      return originalFetch;
    },
    set: (value) => defineFetch({ value, writable: true }),
  });
  hooks = registerHooks({
    resolve: (specifier, context, next) => {
      if (MODULES.test(specifier)) startNetworkUse();
      return next(specifier, context);
    },
  });
}

function defineFetch(descriptor) {
  Object.defineProperty(globalThis, "fetch", { ...descriptor, configurable: true, enumerable: true });
}

/** To be called for code that names `WebSocket`: the property that Node defines for it cannot be watched. */
export function startNetworkUse() {
  if (hooks === null) return;
  hooks.deregister();
  hooks = null;
  if (Object.getOwnPropertyDescriptor(globalThis, "fetch")?.get) defineFetch({ value: originalFetch, writable: true });
  apply();
}

function apply() {
  if (JSON.stringify(wanted) !== JSON.stringify(proxies)) useProxies(wanted);
  if (wantedCaFile !== extraCaFile) {
    extraCaFile = wantedCaFile;
    addCertificatesAtFirstUse(extraCaFile);
  }
}

function selectProxies(env) {
  return Object.fromEntries(PROXY_NAMES.filter((name) => env[name]).map((name) => [name, env[name]]));
}

function useProxies(next) {
  restoreProxies();
  restoreProxies = () => {};
  proxies = next;
  // What Node set up itself when it started cannot be taken back, but it can be told to apply to nothing.
  const isNone = Object.keys(next).length === 0;
  try {
    restoreProxies = process.getBuiltinModule("node:http").setGlobalProxyFromEnv(isNone ? NO_PROXIES : next);
  } catch (error) {
    process.emitWarning(`the proxy variables are not used: ${error.message}`);
  }
}

/** Reading a bundle takes longer than most runs. */
function addCertificatesAtFirstUse(file) {
  const tls = process.getBuiltinModule("node:tls");
  const connect = tls.connect;
  tls.connect = (...options) => {
    tls.connect = connect;
    syncBuiltinESMExports();
    try {
      tls.setDefaultCACertificates([...tls.getCACertificates("default"), fs.readFileSync(file, "utf8")]);
    } catch (error) {
      process.emitWarning(`ignoring extra certs from ${file}: ${error.message}`);
    }
    return connect(...options);
  };
  syncBuiltinESMExports();
}
