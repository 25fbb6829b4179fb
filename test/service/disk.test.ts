import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Api, bash, type Reply } from "../api/ractor/api.ts";
import { canMount } from "../support/mount.ts";
import { lacks } from "../support/needs.ts";
import { makeServiceRoot, startService, type TestService } from "../support/service.ts";
import { SMALL } from "./load.ts";

/** The data folder is on a small file system that fills up under the service. */
/** More than sandboxes want to be left free. */
const DISK_MIB = 400;
const KEPT_FREE_KIB = 512;
const PADDING = "x".repeat(30_000);
const ROUNDS = 2;

describe.skipIf(lacks(canMount(), "root that may mount"))("service - a full disk", () => {
  const root = makeServiceRoot();
  const image = `${root}.ext4`;
  const ballast = join(root, "ballast");
  let service: TestService;
  let api: Api;

  beforeAll(async () => {
    mkdirSync(root);
    // Sparse: what fills it up takes no room outside.
    execFileSync("truncate", ["-s", `${DISK_MIB}M`, image]);
    execFileSync("mkfs.ext4", ["-q", "-m", "0", image]);
    execFileSync("mount", ["-o", "loop", image, root]);
    chmodSync(root, 0o711);
    service = await startService({ root });
    api = new Api(service.url, service.adminToken);
    await api.makeAgent("worker", { metadata: SMALL });
    await api.run("worker", "echo kept > file");
  });

  afterAll(async () => {
    await service?.[Symbol.asyncDispose]();
    execFileSync("umount", [root]);
    rmSync(root, { recursive: true });
    rmSync(image);
  });

  function fill(): void {
    const [, free = "0"] = execFileSync("df", ["--output=avail", root], { encoding: "utf8" }).trim().split("\n");
    execFileSync("fallocate", ["-l", `${Number(free) - KEPT_FREE_KIB}KiB`, ballast]);
  }

  const post = (): Promise<Reply> =>
    api.post("/agents/worker/responses", { input: { ...bash("cat file"), padding: PADDING } });

  /** Ids of what was acknowledged until the first refusal. */
  async function postUntilFull(): Promise<readonly string[]> {
    const ids: string[] = [];
    for (;;) {
      const { status, json, text } = await post();
      if (status !== 200) {
        expect([status, json.message]).toEqual([507, expect.not.stringMatching(/insert|xxx/)]);
        return ids;
      }
      expect(text).toContain('"id"');
      ids.push(json.id);
    }
  }

  test("posts answer 507, what was acknowledged stays and ends, and the service works again when there is room", async () => {
    const all: string[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      fill();
      all.push(...(await postUntilFull()));
      expect((await api.post("/agents", { name: "refused", metadata: SMALL, instructions: PADDING })).status).toBe(507);
      const listed = (await api.get("/agents/worker/responses?limit=1000")).json.map(({ id }: { id: string }) => id);
      expect(listed).toEqual(expect.arrayContaining(all));
      expect((await fetch(`${service.url}/health`)).status).toBe(200);
      rmSync(ballast);
      const after = await post();
      expect(after.status).toBe(200);
      all.push(after.json.id);
      for (const id of all) expect(await api.awaitEnded("worker", id)).toMatchObject({ status: "completed" });
    }
    expect(all.length).toBeGreaterThan(ROUNDS);
    expect((await api.get("/agents/refused")).status).toBe(404);
    const { segments } = await api.run("worker", "cat file");
    expect(JSON.stringify(segments)).toContain("kept\\n");
  });
});
