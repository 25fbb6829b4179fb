// Node reads proxy and certificate variables when it starts; a process that was started ahead of need gets them later.
import fs from "node:fs";
import http from "node:http";
import { syncBuiltinESMExports } from "node:module";
import tls from "node:tls";

const PROXY_NAMES = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"].flatMap((name) => [name, name.toLowerCase()]);

let proxies = {};
let restoreProxies = () => {};
let extraCaFile = process.env.NODE_EXTRA_CA_CERTS;

/** Loads what `fetch` needs, so that the first proxied run does not wait for it. */
export function warmNetwork() {
  http.setGlobalProxyFromEnv({ HTTP_PROXY: "http://127.0.0.1:9" })();
}

/** Makes `fetch`, `http` and `https` follow the environment's proxies and extra certificates from now on. */
export function configureNetwork(env) {
  const wanted = Object.fromEntries(PROXY_NAMES.filter((name) => env[name]).map((name) => [name, env[name]]));
  if (JSON.stringify(wanted) !== JSON.stringify(proxies)) useProxies(wanted);
  if (env.NODE_EXTRA_CA_CERTS && env.NODE_EXTRA_CA_CERTS !== extraCaFile) {
    extraCaFile = env.NODE_EXTRA_CA_CERTS;
    addCertificatesAtFirstUse(extraCaFile);
  }
}

function useProxies(wanted) {
  restoreProxies();
  restoreProxies = () => {};
  proxies = wanted;
  if (Object.keys(wanted).length === 0) return;
  try {
    restoreProxies = http.setGlobalProxyFromEnv(wanted);
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
