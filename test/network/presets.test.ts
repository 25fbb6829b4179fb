import { createServer } from "node:http";
import { expect, test } from "vitest";
import { fetchText } from "../../src/network/policy/fetch-text.ts";
import { compilePolicy, parsePolicy } from "../../src/network/policy/policy.ts";
import { discoverRegistries, loadPresets, type RegistryEdges } from "../../src/network/policy/presets.ts";
import { listen } from "./harness.ts";

const env = { HOME: "/home/u" };

/** The edge of the file system and the network as tables; pages that are not listed do not exist. */
function makeEdges(
  files: Record<string, string>,
  pages: Record<string, string> = {},
): RegistryEdges & { asked: string[] } {
  const asked: string[] = [];
  return {
    asked,
    readText: async (path) => files[path],
    makeFetch: () => async (url) => {
      asked.push(url);
      const text = pages[url];
      if (text === undefined) throw new Error("status 404");
      return { url, text, contentType: text.startsWith("{") ? "application/json" : "text/html", visited: [url] };
    },
  };
}

test("without configuration the presets are the public registries, and nothing is fetched or passed on", async () => {
  const edges = makeEdges({});
  const registries = await discoverRegistries(env, edges);
  expect(registries.environment).toEqual({});
  expect(await loadPresets(parsePolicy("pypi,npm"), registries)).toEqual({
    pypi: [
      { name: "pypi.org", port: 443 },
      { name: "files.pythonhosted.org", port: 443 },
    ],
    npm: [{ name: "registry.npmjs.org", port: 443 }],
  });
  expect(edges.asked).toEqual([]);
});

test("pip's environment wins over its files, later files over earlier ones, and [install] over [global]", async () => {
  const files = {
    "/etc/pip.conf":
      "[global]\nindex-url = https://one.example/simple\n[install]\nextra-index-url =\n  https://x.example/a\n  https://y.example/b\n",
    "/home/u/.config/pip/pip.conf":
      "# mine\n[global]\nindex_url: https://two.example/simple\ntrusted-host = two.example\n",
  };
  const read = async (extra: Record<string, string>) =>
    (await discoverRegistries({ ...env, ...extra }, makeEdges(files))).environment;
  expect(await read({})).toEqual({
    PIP_INDEX_URL: "https://two.example/simple",
    PIP_EXTRA_INDEX_URL: "https://x.example/a https://y.example/b",
    PIP_TRUSTED_HOST: "two.example",
  });
  expect(await read({ PIP_INDEX_URL: "https://three.example/" })).toMatchObject({
    PIP_INDEX_URL: "https://three.example/",
  });
  expect(await read({ PIP_CONFIG_FILE: "/dev/null" })).toEqual({});
});

test("npm's environment in any case wins over the user's file, and that over the global one", async () => {
  const files = {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: npm's own syntax for a variable
    "/home/u/.npmrc": "; mine\nregistry=https://${MIRROR}/npm/\n//mirror.example/npm/:_authToken=secret\n",
    "/etc/npmrc": 'registry = "https://global.example/"\n',
  };
  const read = async (extra: Record<string, string>) =>
    await discoverRegistries({ ...env, MIRROR: "mirror.example", ...extra }, makeEdges(files));
  const fromUser = await read({});
  expect(fromUser.environment).toEqual({ npm_config_registry: "https://mirror.example/npm/" });
  expect(fromUser.notices.join()).toContain("token");
  expect((await read({ NPM_CONFIG_REGISTRY: "https://env.example/" })).environment).toEqual({
    npm_config_registry: "https://env.example/",
  });
  const global = await read({ npm_config_userconfig: "/nowhere" });
  expect(global.environment).toEqual({ npm_config_registry: "https://global.example/" });
});

test("credentials in an index URL stay on the host, and a notice says so", async () => {
  const registries = await discoverRegistries(
    { ...env, PIP_INDEX_URL: "https://user:secret@mirror.example/simple" },
    makeEdges({}),
  );
  expect(registries.environment).toEqual({ PIP_INDEX_URL: "https://mirror.example/simple" });
  expect(registries.notices).toHaveLength(1);
  expect(JSON.stringify(registries)).not.toContain("secret");
});

test("a mirror's preset holds the file hosts its index links to, at their ports, and the policy trusts them", async () => {
  const page =
    '<a href="../../files/pip.whl">a</a><a class=x href="https://cdn.example:8443/pip.tar.gz#sha256=1">b</a><a href="http://169.254.169.254/x">c</a>';
  const edges = makeEdges(
    { "/home/u/.npmrc": "registry=http://10.0.0.5:4873/" },
    {
      "https://mirror.example/simple/pip/": page,
      "http://10.0.0.5:4873/ms/latest": '{"dist":{"tarball":"https://tarballs.example/ms.tgz"}}',
    },
  );
  const registries = await discoverRegistries({ ...env, PIP_INDEX_URL: "https://mirror.example/simple/" }, edges);
  const source = parsePolicy("pypi,npm");
  const presets = await loadPresets(source, registries);
  expect(presets).toEqual({
    pypi: [
      { name: "mirror.example", port: 443 },
      { name: "cdn.example", port: 8443 },
    ],
    npm: [
      { name: "10.0.0.5", port: 4873 },
      { name: "tarballs.example", port: 443 },
    ],
  });
  expect(compilePolicy(source, { presets }).decide({ host: "10.0.0.5", port: 4873 })).toMatchObject({
    allowed: true,
    rule: "npm",
  });
  await loadPresets(source, registries);
  expect(edges.asked).toHaveLength(2);
});

test("a JSON index is read too, and one that cannot be asked stands for itself and is asked again", async () => {
  const json = '{"files":[{"url":"https://files.example/pip.whl"},{"url":7}]}';
  const edges = makeEdges({}, { "https://json.example/simple/pip/": json });
  const both = {
    ...env,
    PIP_INDEX_URL: "https://json.example/simple",
    PIP_EXTRA_INDEX_URL: "https://down.example/simple",
  };
  const registries = await discoverRegistries(both, edges);
  const names = (await registries.listUpstreams("pypi")).map((upstream) => upstream.name);
  expect(names).toEqual(["json.example", "files.example", "down.example"]);
  await registries.listUpstreams("pypi");
  expect(edges.asked.filter((url) => url.includes("down"))).toHaveLength(2);
});

test("a registry page is fetched over redirects, with the URL's credentials for its own host", async () => {
  const seen: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    seen.push(request.headers.authorization);
    if (request.url === "/simple/pip/") response.writeHead(302, { location: "/moved/" }).end();
    else response.writeHead(request.url === "/moved/" ? 200 : 404, { "content-type": "text/html" }).end("page");
  });
  const port = await listen(server);
  const page = await fetchText(`http://user:p%40ss@127.0.0.1:${port}/simple/pip/`, { accept: "*/*" });
  expect(page).toMatchObject({ url: `http://127.0.0.1:${port}/moved/`, text: "page", contentType: "text/html" });
  expect(seen).toEqual([`Basic ${btoa("user:p@ss")}`, `Basic ${btoa("user:p@ss")}`]);
  await expect(fetchText(`http://127.0.0.1:${port}/none`, { accept: "*/*" })).rejects.toThrow("status 404");
  server.close();
});
