// Node reads proxy and certificate variables when it starts; a process that was started ahead of need gets them later.
import fs from "node:fs";
import http from "node:http";
import { syncBuiltinESMExports } from "node:module";
import tls from "node:tls";

const PROXY_NAMES = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"].flatMap((name) => [name, name.toLowerCase()]);

const NO_PROXIES = { HTTP_PROXY: "http://127.0.0.1:9", NO_PROXY: "*" };

let proxies = process.env.NODE_USE_ENV_PROXY === "1" ? selectProxies(process.env) : {};
let restoreProxies = () => {};
let extraCaFile = process.env.NODE_EXTRA_CA_CERTS;

/** Loads what `fetch` needs, so that the first proxied run does not wait for it. */
export function warmNetwork() {
  http.setGlobalProxyFromEnv(NO_PROXIES)();
}

/** Makes `fetch`, `http` and `https` follow the environment's proxies and extra certificates from now on. */
export function configureNetwork(env) {
  const wanted = selectProxies(env);
  if (JSON.stringify(wanted) !== JSON.stringify(proxies)) useProxies(wanted);
  if (env.NODE_EXTRA_CA_CERTS && env.NODE_EXTRA_CA_CERTS !== extraCaFile) {
    extraCaFile = env.NODE_EXTRA_CA_CERTS;
    addCertificatesAtFirstUse(extraCaFile);
  }
}

function selectProxies(env) {
  return Object.fromEntries(PROXY_NAMES.filter((name) => env[name]).map((name) => [name, env[name]]));
}

function useProxies(wanted) {
  restoreProxies();
  restoreProxies = () => {};
  proxies = wanted;
  // What Node set up itself when it started cannot be taken back, but it can be told to apply to nothing.
  const isNone = Object.keys(wanted).length === 0;
  try {
    restoreProxies = http.setGlobalProxyFromEnv(isNone ? NO_PROXIES : wanted);
  } catch (error) {
    process.emitWarning(`the proxy variables are not used: ${error.message}`);
  }
}

/** Reading a bundle takes longer than most runs, and most runs never open TLS. */
function addCertificatesAtFirstUse(file) {
  const connect = tls.connect;
  tls.connect = (...options) => {
    tls.connect = connect;
    syncBuiltinESMExports();
    addCertificates(file);
    return connect(...options);
  };
  syncBuiltinESMExports();
}

function addCertificates(file) {
  try {
    tls.setDefaultCACertificates([...tls.getCACertificates("default"), fs.readFileSync(file, "utf8")]);
  } catch (error) {
    process.emitWarning(`ignoring extra certs from ${file}: ${error.message}`);
  }
}
