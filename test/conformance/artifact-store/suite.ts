import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ArtifactStore } from "../../../src/store/artifact-store.ts";

const MIB = 1024 * 1024;

export interface StoreUnderTest {
  readonly store: ArtifactStore;
  /** What an upload that ended early may have left: parts, temporary files. */
  readonly listDebris: () => Promise<readonly string[]>;
  readonly close: () => Promise<void>;
}

export const sha256Of = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

async function readAll(content: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of content) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function* inPieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let offset = 0; offset < bytes.length; offset += size) yield bytes.subarray(offset, offset + size);
}

/** Not compressible, and different at each place. */
function makeBytes(size: number, seed = 1): Buffer {
  const bytes = Buffer.allocUnsafe(size);
  let state = seed * 2_654_435_761;
  for (let offset = 0; offset + 4 <= size; offset += 4) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes.writeUInt32LE(state, offset);
  }
  return bytes.fill(7, size - (size % 4));
}

const ODD_KEYS = [
  "plain.txt",
  "with space/and  two",
  "ümläut/日本語/🦊.bin",
  "per%cent/100%25/%2e%2e",
  "q?u=e&r#y;+plus",
  "quotes'\"`<>|*:\\back",
  "dots/...three/.hidden/a..b",
  "a.json/b.d/entry.json",
  "same",
  "same/below",
  `${"long".repeat(60)}/${"x".repeat(250)}`,
  `${"y".repeat(1024)}`,
];

/** Every artifact store passes it; export it to run it on another. */
export function artifactStoreSuite(name: string, open: () => Promise<StoreUnderTest>): void {
  describe(`artifact store ${name}`, () => {
    let under: StoreUnderTest;
    let store: ArtifactStore;

    beforeAll(async () => {
      under = await open();
      store = under.store;
    });

    afterAll(async () => {
      await under.close();
    });

    test.each([
      ["empty", 0],
      ["one byte", 1],
      ["small", 1000],
      ["exactly one part", 8 * MIB],
      ["several parts", 12 * MIB + 17],
    ])("a stream of unknown length comes back as it was: %s", async (_title, size) => {
      const bytes = makeBytes(size);
      const key = `sizes/${size}`;
      const stored = await store.put(key, inPieces(bytes, 300_001), {
        contentType: "text/csv",
        metadata: { "task-id": "t 1" },
      });
      expect(stored).toMatchObject({ key, bytes: size, sha256: sha256Of(bytes) });
      expect(stored.url).toMatch(/^(file|s3):\/\//);
      const { info, content } = await store.get(key);
      expect((await readAll(content)).equals(bytes)).toBe(true);
      expect(info).toMatchObject({ key, bytes: size, contentType: "text/csv", metadata: { "task-id": "t 1" } });
      expect(Math.abs(Date.now() - Date.parse(info.modified))).toBeLessThan(60_000);
      expect(await store.head(key)).toEqual(info);
    });

    test("content whose sha256 is announced keeps it, in whatever size", async () => {
      for (const size of [10, 9 * MIB]) {
        const bytes = makeBytes(size, 3);
        await store.put(`announced/${size}`, inPieces(bytes, MIB), { sha256: sha256Of(bytes), bytes: size });
        expect((await store.head(`announced/${size}`)).sha256).toBe(sha256Of(bytes));
      }
    });

    test.each([10, 9 * MIB])("content of %i bytes other than announced fails and leaves nothing", async (size) => {
      const bytes = makeBytes(size);
      for (const wrong of [{ sha256: "0".repeat(64) }, { bytes: size + 1 }]) {
        await expect(store.put("wrong", inPieces(bytes, MIB), wrong)).rejects.toMatchObject({
          code: "artifact_failed",
        });
      }
      await expect(store.head("wrong")).rejects.toMatchObject({ code: "not_found" });
      expect(await under.listDebris()).toEqual([]);
    });

    test("a range is a part, and must begin inside", async () => {
      const bytes = makeBytes(100_000);
      await store.put("ranged", bytes);
      const range = async (offset: number, length?: number): Promise<Buffer> => {
        const { info, content } = await store.get("ranged", {
          range: length === undefined ? { offset } : { offset, length },
        });
        expect(info.bytes).toBe(100_000);
        return await readAll(content);
      };
      expect((await range(0, 1)).equals(bytes.subarray(0, 1))).toBe(true);
      expect((await range(99_000)).equals(bytes.subarray(99_000))).toBe(true);
      expect((await range(50_000, 1_000_000)).equals(bytes.subarray(50_000))).toBe(true);
      await expect(range(100_000)).rejects.toMatchObject({ code: "invalid_request" });
      await expect(range(0, 0)).rejects.toMatchObject({ code: "invalid_request" });
    });

    test("a missing key is not_found, and removing it is fine", async () => {
      await expect(store.get("missing/key")).rejects.toMatchObject({ code: "not_found" });
      await expect(store.head("missing/key")).rejects.toMatchObject({ code: "not_found" });
      await store.remove("missing/key");
    });

    test("a key is replaced as a whole, and gone after remove", async () => {
      await store.put("replaced", makeBytes(1000), { metadata: { one: "1" } });
      await store.put("replaced", makeBytes(10, 2), { contentType: "text/plain" });
      const { info, content } = await store.get("replaced");
      expect(info).toMatchObject({ bytes: 10, contentType: "text/plain", metadata: {} });
      expect((await readAll(content)).equals(makeBytes(10, 2))).toBe(true);
      await store.remove("replaced");
      await expect(store.head("replaced")).rejects.toMatchObject({ code: "not_found" });
    });

    test("with createOnly a taken key stays as it is, and of several writers one wins", async () => {
      await store.put("once", Buffer.from("first"), { createOnly: true });
      for (const size of [5, 9 * MIB]) {
        const late = store.put("once", inPieces(makeBytes(size), MIB), { createOnly: true });
        await expect(late).rejects.toMatchObject({ code: "artifact_exists" });
      }
      expect((await readAll((await store.get("once")).content)).toString()).toBe("first");
      const race = await Promise.allSettled(
        Array.from({ length: 8 }, (_, index) =>
          store.put("race", Buffer.from(`writer ${index}`), { createOnly: true }),
        ),
      );
      expect(race.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
      expect(await under.listDebris()).toEqual([]);
    });

    test.each(ODD_KEYS)("the key %j is kept as it is", async (key) => {
      const bytes = Buffer.from(`content of ${key}`);
      await store.put(key, bytes);
      expect((await readAll((await store.get(key)).content)).equals(bytes)).toBe(true);
      const { artifacts } = await store.list({ prefix: key });
      expect(artifacts.map((one) => one.key)).toContain(key);
    });

    test.each([
      "",
      "/absolute",
      "../up",
      "a/../../b",
      "a//b",
      "a/",
      "./a",
      "line\nbreak",
      "nul\0",
      "z".repeat(1025),
      "half \ud800",
    ])("the key %j is refused", async (key) => {
      await expect(store.put(key, Buffer.from("x"))).rejects.toMatchObject({ code: "invalid_request" });
      await expect(store.get(key)).rejects.toMatchObject({ code: "invalid_request" });
      await expect(store.remove(key)).rejects.toMatchObject({ code: "invalid_request" });
    });

    test("200 puts at once all arrive, and are listed in pages in the order of their bytes", async () => {
      const keys = Array.from(
        { length: 200 },
        (_, index) => `many/${index % 2 === 0 ? "a" : "Ä"}/${String(index).padStart(3, "0")}`,
      );
      const bytes = (index: number): Buffer => makeBytes(1000 + index, index + 1);
      await Promise.all(keys.map((key, index) => store.put(key, bytes(index))));
      const listed: string[] = [];
      let after: string | undefined;
      let pages = 0;
      do {
        const page = await store.list({ prefix: "many/", limit: 70, ...(after === undefined ? {} : { after }) });
        listed.push(...page.artifacts.map(({ key }) => key));
        after = page.next;
        pages += 1;
      } while (after !== undefined);
      expect([pages, listed]).toEqual([3, keys.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))]);
      const sizes = await Promise.all(keys.map(async (key) => (await store.head(key)).bytes));
      expect(sizes).toEqual(keys.map((_, index) => 1000 + index));
      expect((await store.list({ prefix: "many/a/00" })).artifacts).toHaveLength(5);
      expect((await store.list({ prefix: "many/none" })).artifacts).toEqual([]);
    });

    test.each([1, 20])(
      "a put that is aborted after %i MiB leaves nothing, also while its source stalls",
      async (before) => {
        const abort = new AbortController();
        const source = (async function* () {
          for (let index = 0; index < before; index += 1) yield makeBytes(MIB, index + 1);
          abort.abort();
          await sleep(60_000, undefined, { ref: false });
          yield Buffer.from("never");
        })();
        await expect(store.put("aborted", source, { signal: abort.signal })).rejects.toMatchObject({
          code: "cancelled",
        });
        await expect(store.head("aborted")).rejects.toMatchObject({ code: "not_found" });
        expect(await under.listDebris()).toEqual([]);
      },
    );

    test.each([1, 20])("a source that fails after %i MiB fails the put and leaves what was there", async (before) => {
      await store.put("kept", Buffer.from("before"));
      const source = (async function* () {
        for (let index = 0; index < before; index += 1) yield makeBytes(MIB, index + 1);
        throw new Error("the source broke");
      })();
      await expect(store.put("kept", source)).rejects.toMatchObject({
        code: "artifact_failed",
        message: /the source broke/,
      });
      expect((await readAll((await store.get("kept")).content)).toString()).toBe("before");
      expect(await under.listDebris()).toEqual([]);
    });

    test("an aborted get ends", async () => {
      await store.put("large", inPieces(makeBytes(16 * MIB), MIB));
      const abort = new AbortController();
      const { content } = await store.get("large", { signal: abort.signal });
      const reading = (async () => {
        for await (const _chunk of content) abort.abort();
      })();
      await expect(reading).rejects.toMatchObject({ code: "cancelled" });
      await store.remove("large");
    });

    test("256 MiB go in and out in flat memory", async () => {
      const part = makeBytes(MIB, 9);
      const whole = createHash("sha256");
      let peak = 0;
      const watch = (): void => {
        peak = Math.max(peak, process.memoryUsage.rss());
      };
      const source = (async function* () {
        for (let index = 0; index < 256; index += 1) {
          whole.update(part);
          watch();
          yield part;
        }
      })();
      const begun = process.memoryUsage.rss();
      const stored = await store.put("flat", source);
      expect(stored).toMatchObject({ bytes: 256 * MIB, sha256: whole.digest("hex") });
      const back = createHash("sha256");
      for await (const chunk of (await store.get("flat")).content) {
        back.update(chunk);
        watch();
      }
      expect(back.digest("hex")).toBe(stored.sha256);
      expect(peak - begun).toBeLessThan(160 * MIB);
      await store.remove("flat");
    }, 120_000);

    test("metadata outside its grammar is refused", async () => {
      for (const metadata of [{ Upper: "x" }, { a: "line\nbreak" }, { a: "x".repeat(1501) }]) {
        await expect(store.put("m", Buffer.from("x"), { metadata })).rejects.toMatchObject({ code: "invalid_request" });
      }
    });

    test("signing is offered as the capability says", async () => {
      const request = { method: "GET", key: "plain.txt" } as const;
      if (!store.capabilities.presign) {
        await expect(store.presign(request)).rejects.toMatchObject({ code: "unsupported" });
        return;
      }
      const { url, expires } = await store.presign(request);
      expect(await (await fetch(url)).text()).toBe("content of plain.txt");
      expect(Date.parse(expires) - Date.now()).toBeLessThanOrEqual(300_000);
      await expect(store.presign({ ...request, expiresMs: 300_001 })).rejects.toMatchObject({
        code: "invalid_request",
      });
    });
  });
}
