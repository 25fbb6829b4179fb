import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Engine } from "../../src/drivers/docker/engine/engine.ts";
import { DockerImages } from "../../src/drivers/docker/images.ts";
import { bootstrapImage, readHostDistribution } from "../../src/fleet/environments/bootstrap.ts";
import type { ImageEntry } from "../../src/fleet/environments/image-lock.ts";
import { lacksEngine } from "../support/engine.ts";
import { askEngine, runInImage } from "../support/engine-api.ts";
import { TEST_HOME } from "../support/home.ts";
import { openStore } from "./image-store.ts";

const signal = AbortSignal.timeout(280_000);
const quiet = { signal, onProgress: () => undefined };
const BUILDER = fileURLToPath(new URL("image-store.ts", import.meta.url));

describe.skipIf(lacksEngine())("images", () => {
  let scratch = "";
  let file: ImageEntry;

  beforeAll(async () => {
    mkdirSync(TEST_HOME, { recursive: true, mode: 0o711 });
    const store = openStore(TEST_HOME);
    await store.build("base", { ...quiet, bootstrap: true });
    file = await store.build("file", quiet);
    scratch = mkdtempSync("/var/tmp/paddock-images-");
    copyLock(scratch, (entry) => entry);
  }, 280_000);

  afterAll(() => rmSync(scratch, { recursive: true, force: true }));

  /** A data folder that knows the same images, changed. */
  function copyLock(root: string, change: (entry: ImageEntry) => ImageEntry): void {
    const lock = JSON.parse(readFileSync(join(TEST_HOME, "images.json"), "utf8")) as { images: ImageEntry[] };
    writeFileSync(join(root, "images.json"), JSON.stringify({ version: 1, images: lock.images.map(change) }));
  }

  const inspect = async (id: string): Promise<{ Config: { User: string; Labels: Record<string, string> } }> =>
    JSON.parse((await askEngine("GET", `/images/${id}/json`)).text) as never;

  test("images - a second build asks the engine for nothing and names the same image", async () => {
    const lines: string[] = [];
    const options = { signal, bootstrap: true, onProgress: (line: string) => void lines.push(line) };
    const again = await openStore(TEST_HOME).build("file", options);
    expect(lines).toEqual([]);
    expect(again).toEqual(file);
  });

  test("images - what runs is nobody, finds no setuid file and can change nothing of the image", async () => {
    const script =
      "id -u; id -g; find / -xdev -type f -perm /6000 2>/dev/null; touch /opt/paddock/mark || echo refused";
    const { output } = await runInImage(file.id, ["bash", "-c", script]);
    expect(output.split(/\r?\n/).filter((line) => line !== "" && !line.includes("touch:"))).toEqual([
      "65534",
      "65534",
      "refused",
    ]);
    expect((await inspect(file.id)).Config.User).toBe("65534:65534");
  });

  test("images - both interpreters and the supervisor are in every image", async () => {
    const script =
      "node -p process.version; python3 -I -S -B -c 'import sys; sys.path.insert(0, \"/opt/paddock/supervisor\"); import main; print(sys.version_info >= (3, 11))'";
    const { output, status } = await runInImage(file.id, ["bash", "-c", script]);
    expect(output.trim().split(/\r?\n/)).toEqual([process.version, "True"]);
    expect(status).toBe(0);
  });

  test("images - labels name type, plan and identity; config and history tell nothing of this host", async () => {
    const { Labels } = (await inspect(file.id)).Config;
    expect(Labels).toMatchObject({
      "paddock.image": "file",
      "paddock.plan": file.plan_hash,
      "paddock.setup": file.setup_hash,
      "paddock.identity": file.identity,
    });
    const told = await Promise.all(["json", "history"].map((what) => askEngine("GET", `/images/${file.id}/${what}`)));
    const text = told.map((answer) => answer.text.replace(/"GraphDriver":\{.*?\}\}/s, "")).join("");
    for (const secret of listSecrets()) expect(text).not.toContain(secret);
  });

  test("images - no file of the image names this host, its folders or its sources", async () => {
    const patterns = listSecrets().flatMap((secret) => ["-e", secret]);
    const argv = [
      "grep",
      "-rIlF",
      ...patterns,
      "/etc",
      "/opt/paddock/env",
      "/opt/paddock/supervisor",
      "/var",
      "/root",
      "/home",
    ];
    const { output } = await runInImage(file.id, argv);
    expect(output.split(/\r?\n/).filter((line) => line !== "" && !line.includes("Permission denied"))).toEqual([]);
    const { output: sources } = await runInImage(file.id, ["cat", "/etc/apt/sources.list"]);
    expect(sources).toMatch(/^deb http:\/\/(deb\.debian\.org|archive\.ubuntu\.com|ports\.ubuntu\.com)\//);
    expect((await runInImage(file.id, ["sh", "-c", "cat /etc/machine-id"])).output).toBe("");
  });

  test("images - another plan, supervisor or Node makes an image stale, and it is not used", async () => {
    const root = mkdtempSync(join(scratch, "stale-"));
    copyLock(root, (entry) => (entry.name === "file" ? { ...entry, identity: "0".repeat(64) } : entry));
    const store = openStore(root);
    const listed = await store.list();
    const states = (name: string): readonly string[] =>
      listed.filter(({ image }) => image.name === name).map(({ state }) => state);
    expect(states("base")).toContain("current");
    expect(states("file")).not.toContain("current");
    await expect(store.open("file", { ...quiet, build: false })).rejects.toMatchObject({ code: "image_missing" });
  });

  test("images - one that the engine has lost is missing, and is not used", async () => {
    const root = mkdtempSync(join(scratch, "missing-"));
    copyLock(root, (entry) => ({ ...entry, id: `sha256:${"0".repeat(64)}` }));
    const store = openStore(root);
    expect((await store.list()).map(({ state }) => state)).not.toContain("current");
    await expect(store.open("base", { ...quiet, build: false })).rejects.toMatchObject({ code: "image_missing" });
  });

  test("images - of two builders one builds and the other takes its image", async () => {
    const root = mkdtempSync(join(scratch, "two-"));
    copyLock(root, (entry) => (entry.name === "file" ? { ...entry, identity: "0".repeat(64) } : entry));
    const lines: string[] = [];
    const options = { signal, onProgress: (line: string) => void lines.push(line) };
    const [one, other] = await Promise.all(
      [openStore(root), openStore(root)].map((store) => store.build("file", options)),
    );
    expect(other).toEqual(one);
    expect(lines.filter((line) => line.startsWith("building the file image"))).toHaveLength(1);
  });

  test("images - a builder that is killed leaves no container, and the next build works", async () => {
    const root = mkdtempSync(join(scratch, "killed-"));
    copyLock(root, (entry) => (entry.name === "file" ? { ...entry, identity: "0".repeat(64) } : entry));
    const child = spawn(process.execPath, [BUILDER, root], { stdio: ["ignore", "pipe", "inherit"] });
    for await (const line of createInterface({ input: child.stdout })) if (line.startsWith("Step 8/")) break;
    child.kill("SIGKILL");
    await once(child, "exit");
    const built = await openStore(root).build("file", quiet);
    expect(built.identity).toBe(file.identity);
    await expect.poll(listBuildContainers, { timeout: 20_000 }).toEqual([]);
    expect(readdirSync(join(root, "images"))).toEqual([]);
  });

  test("images - prune removes what is not current and keeps what is", async () => {
    const root = mkdtempSync(join(scratch, "prune-"));
    copyLock(root, (entry) => entry);
    const store = openStore(root);
    const stale = await store.build("file", { ...quiet, noCache: true });
    const lock = join(root, "images.json");
    writeFileSync(lock, readFileSync(lock, "utf8").replace(stale.identity, "0".repeat(64)));
    const { removed } = await store.prune({ all: false, signal });
    expect(removed).toContain(stale.id);
    expect(removed).not.toContain(file.id);
    expect((await store.list()).filter(({ state }) => state === "missing")).toEqual([]);
    expect((await askEngine("GET", `/images/${stale.id}/json`)).status).toBe(404);
    expect((await openStore(TEST_HOME).list()).find(({ image }) => image.id === file.id)?.state).toBe("current");
  });

  test("images - a base that cannot be made says why and leaves nothing", async () => {
    const engine = new DockerImages(() => Engine.open());
    const distribution = await readHostDistribution();
    const folder = join(scratch, "bootstrap");
    const request = {
      distribution: { ...distribution, suite: "no-such-suite" },
      packages: ["no-such-package"],
      folder,
      ...quiet,
    };
    await expect(bootstrapImage(engine, request)).rejects.toMatchObject({
      code: "image_failed",
      message: expect.stringContaining("E: "),
    });
    expect(await engine.inspect("paddock/bootstrap:no-such-suite")).toBeUndefined();
    expect(readdirSync(scratch)).not.toContain("bootstrap");
  });
});

/** What must not be found in an image. A host's short name may be an everyday word. */
function listSecrets(): string[] {
  return [TEST_HOME, process.cwd(), ...(hostname().length > 8 ? [hostname()] : [])];
}

/** Containers of build steps; those of sandboxes carry a sandbox's label. */
async function listBuildContainers(): Promise<string[]> {
  const filters = encodeURIComponent(JSON.stringify({ label: ["paddock.image=file"] }));
  const { text } = await askEngine("GET", `/containers/json?all=1&filters=${filters}`);
  const containers = JSON.parse(text) as { Id: string; Labels: Record<string, string>; Command: string }[];
  return containers
    .filter(({ Labels, Command }) => Labels["paddock.sandbox"] === undefined && Command.includes("setup.sh"))
    .map(({ Id }) => Id);
}
