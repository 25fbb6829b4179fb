import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { loadConfig } from "../../src/config/config.ts";
import { resolveHome } from "../../src/config/home.ts";

let home = "";
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "paddock-config-"));
});
afterEach(() => rmSync(home, { recursive: true }));

const load = (env: Record<string, string> = {}) => loadConfig({ PADDOCK_HOME: home, ...env }, 1000);

test("config - the data folder is PADDOCK_HOME, else root's or the user's own", () => {
  expect(resolveHome({ PADDOCK_HOME: "/srv/p" }, 0).templates).toBe("/srv/p/templates");
  expect(resolveHome({}, 0).root).toBe("/var/lib/paddock");
  expect(resolveHome({ XDG_DATA_HOME: "/home/u/data" }, 1000).root).toBe("/home/u/data/paddock");
});

test("config - a data folder that cannot keep files is refused by name", () => {
  for (const root of ["relative/path", "/proc/x", "/sys", "/dev/shm/../x/../../proc/1"]) {
    expect(() => resolveHome({ PADDOCK_HOME: root }, 0)).toThrow(expect.objectContaining({ code: "invalid_config" }));
  }
});

test("config - a data folder too deep for the sockets below it is refused, the longest that fits is not", () => {
  const fits = `/${"x".repeat(54)}`;
  expect(`${resolveHome({ PADDOCK_HOME: fits }, 0).run}/sbx_${"0".repeat(26)}/socket/host.sock`).toHaveLength(107);
  expect(() => resolveHome({ PADDOCK_HOME: `${fits}x` }, 0)).toThrow(/56 bytes/);
});

test("config - environment wins over config.json, which wins over defaults", () => {
  writeFileSync(
    join(home, "config.json"),
    JSON.stringify({ limits: "rlimit", overcommit: 2, trusted_upstreams: [{ name: "a.example", port: 443 }] }),
  );
  expect(load()).toMatchObject({
    limits: "rlimit",
    overcommit: 2,
    trustedUpstreams: [{ name: "a.example", port: 443 }],
    retentionMs: 7 * 86_400_000,
  });
  expect(load({ PADDOCK_LIMITS: "auto" }).limits).toBe("auto");
});

test("config - trusted upstreams in the environment take the place of the file's, and are checked as those are", () => {
  writeFileSync(join(home, "config.json"), JSON.stringify({ trusted_upstreams: [{ name: "a.example", port: 443 }] }));
  const upstream = { name: "b.example", port: 8080, address: "127.0.0.1" };
  const given = (text: string) => load({ PADDOCK_TRUSTED_UPSTREAMS: text });
  expect(given(JSON.stringify([upstream])).trustedUpstreams).toEqual([upstream]);
  for (const text of ["", "b.example:8080", "{}", '[{"name":"b.example"}]', '[{"name":"b","port":1,"x":1}]'])
    expect(() => given(text), text).toThrow(/PADDOCK_TRUSTED_UPSTREAMS/);
});

test("config - an unknown field, a wrong value and broken JSON are named", () => {
  const cases: [string, RegExp][] = [
    [JSON.stringify({ colour: 1 }), /colour/],
    [JSON.stringify({ overcommit: 0 }), /overcommit/],
    ["{", /JSON/],
  ];
  for (const [text, pattern] of cases) {
    writeFileSync(join(home, "config.json"), text);
    expect(() => load()).toThrow(pattern);
  }
  rmSync(join(home, "config.json"));
  expect(() => load({ PADDOCK_LIMITS: "lots" })).toThrow(/PADDOCK_LIMITS is lots/);
});

test("config - the CA bundle is the first variable that names an existing file", () => {
  const bundle = join(home, "ca.pem");
  writeFileSync(bundle, "x");
  expect(load({ SSL_CERT_FILE: "/nowhere.pem", NODE_EXTRA_CA_CERTS: bundle }).caBundle).toBe(bundle);
  expect(load().caBundle).toBeUndefined();
});
