import { createHash } from "node:crypto";
import { inspect } from "node:util";
import { beforeAll, describe, expect, test } from "vitest";
import type { ArtifactsConfig, S3Config } from "../../src/config/artifacts.ts";
import type { PaddockError } from "../../src/errors/error.ts";
import type { ArtifactStore, PresignedRequest } from "../../src/store/artifact-store.ts";
import { GrantedObjects } from "../../src/store/artifacts/object-access.ts";
import { S3Artifacts } from "../../src/store/artifacts/s3.ts";
import { lacks } from "../support/needs.ts";
import { hasS3Server, makeBucket, startS3 } from "../support/s3.ts";

const sha256Of = (text: string): string => createHash("sha256").update(text).digest("hex");

async function failureOf(work: Promise<unknown>): Promise<PaddockError> {
  return await work.then(
    () => expect.fail("it did not fail"),
    (thrown: unknown) => thrown as PaddockError,
  );
}

describe.skipIf(lacks(hasS3Server, "an S3-protocol server (scripts/setup.sh --test)"))("a real server", () => {
  let config: S3Config;
  let store: ArtifactStore;

  beforeAll(async () => {
    config = await makeBucket(startS3(), { prefix: "team/one/" });
    store = new S3Artifacts(config);
    return async () => await store[Symbol.asyncDispose]();
  });

  const withFacts = (facts: Partial<S3Config>): S3Artifacts => new S3Artifacts({ ...config, attempts: 1, ...facts });
  const credentials = (facts: object): Partial<S3Config> => ({
    credentials: { accessKeyId: "", secretAccessKey: "", ...config.credentials, ...facts },
  });

  test.each([
    [
      "a wrong secret",
      () => credentials({ secretAccessKey: "wrong-canary-secret" }),
      /SignatureDoesNotMatch/,
      /secret key is wrong/,
    ],
    [
      "an unknown key",
      () => credentials({ accessKeyId: "NOBODY" }),
      /InvalidAccessKeyId/,
      /does not know the access key/,
    ],
    ["a missing bucket", () => ({ bucket: "no-such-bucket-here" }), /NoSuchBucket/, /Create the bucket/],
    ["an endpoint that is down", () => ({ endpoint: "http://127.0.0.1:1" }), /ECONNREFUSED/, /artifacts\.s3\.endpoint/],
    [
      "a name that does not resolve",
      () => ({ endpoint: "http://nowhere.invalid:80" }),
      /ENOTFOUND|EAI_AGAIN/,
      /artifacts\.s3\.endpoint/,
    ],
  ] as const)(
    "s3 - %s is artifact_failed with cause and hint, for every operation",
    async (_title, facts, message, hint) => {
      await using broken = withFacts(facts());
      const source = (async function* () {
        for (let part = 0; part < 10; part += 1) yield Buffer.alloc(1024 * 1024);
      })();
      const signed = ["SignatureDoesNotMatch", "InvalidAccessKeyId"].some((name) => message.source.includes(name));
      const failures = [
        await failureOf(broken.put("k", Buffer.from("x"))),
        await failureOf(broken.put("k", source)),
        await failureOf(broken.get("k")),
        await failureOf(broken.list()),
        ...(message.source.includes("NoSuchBucket") ? [await failureOf(broken.head("k"))] : []),
      ];
      for (const failure of failures) {
        expect(failure).toMatchObject({ code: "artifact_failed", message: expect.stringMatching(message) });
        expect(failure.hint).toMatch(hint);
        expect(failure.cause).toBeInstanceOf(Error);
        expect(inspect(failure, { depth: 20 })).not.toMatch(/wrong-canary-secret|Signature=|AWS4-HMAC/);
        if (signed && config.credentials)
          expect(inspect(failure, { depth: 20 })).not.toContain(config.credentials.secretAccessKey);
      }
    },
  );

  test("s3 - a server that says nothing is given up after timeout_ms", async () => {
    const { createServer } = await import("node:net");
    const silent = createServer(() => undefined);
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const { port } = silent.address() as { port: number };
    await using broken = withFacts({ endpoint: `http://127.0.0.1:${port}`, timeoutMs: 200 });
    expect(await failureOf(broken.head("k"))).toMatchObject({ code: "artifact_failed" });
    silent.close();
  });

  test("s3 - the prefix stands before every key and is no part of it", async () => {
    const { url } = await store.put("a/b.txt", Buffer.from("text"));
    expect(url).toBe(`s3://${config.bucket}/team/one/a/b.txt`);
    await using whole = withFacts({ prefix: "" });
    expect((await whole.list()).artifacts.map(({ key }) => key)).toContain("team/one/a/b.txt");
    expect((await store.list({ prefix: "a/" })).artifacts.map(({ key }) => key)).toEqual(["a/b.txt"]);
  });

  const send = async (
    signed: PresignedRequest,
    facts: { url?: string; body?: string; method?: string; headers?: object } = {},
  ) => {
    const { "content-length": _length, ...headers } = signed.headers as Record<string, string>;
    const { method = signed.method, body, url = signed.url } = facts;
    const request = { method, headers: { ...headers, ...facts.headers }, ...(body === undefined ? {} : { body }) };
    return await fetch(url, request);
  };

  test("presign - a signed GET reads this object by this method, and nothing else", async () => {
    await store.put("open", Buffer.from("sesame"));
    await store.put("closed", Buffer.from("secret"));
    const signed = await store.presign({ method: "GET", key: "open" });
    expect(await (await send(signed)).text()).toBe("sesame");
    expect((await send(signed, { url: signed.url.replace("/open?", "/closed?") })).status).toBe(403);
    expect((await send(signed, { url: signed.url.replace(/X-Amz-Expires=\d+/, "X-Amz-Expires=3600") })).status).toBe(
      403,
    );
    expect((await send(signed, { url: signed.url.replace(/Signature=(..)/, "Signature=00") })).status).toBe(403);
    expect((await send(signed, { method: "PUT", body: "mine" })).status).toBe(403);
    expect((await send(signed, { method: "DELETE" })).status).toBe(403);
  });

  test("presign - a signed PUT takes exactly the announced content", async () => {
    const body = "the one content";
    const request = { method: "PUT", key: "upload", bytes: body.length, sha256: sha256Of(body) } as const;
    const signed = await store.presign(request);
    expect(new URL(signed.url).searchParams.get("X-Amz-SignedHeaders")).toBe(
      "content-length;host;x-amz-acl;x-amz-content-sha256",
    );
    expect(signed.url).not.toContain("UNSIGNED");
    const other = "another content";
    expect(other.length).toBe(body.length);
    expect((await send(signed, { body: other })).ok).toBe(false);
    expect((await send(signed, { body: `${body}!` })).status).toBe(403);
    const forged = { "x-amz-content-sha256": sha256Of(other) };
    expect((await send(signed, { body: other, headers: forged })).status).toBe(403);
    const unsigned = { "x-amz-content-sha256": "UNSIGNED-PAYLOAD" };
    expect((await send(signed, { body: other, headers: unsigned })).status).toBe(403);
    expect(await failureOf(store.head("upload"))).toMatchObject({ code: "not_found" });
    expect((await send(signed, { body })).status).toBe(200);
    expect((await store.head("upload")).bytes).toBe(body.length);
  });

  test("presign - headers that the sender adds to a signed PUT neither publish the object nor make it a copy", async () => {
    await store.put("closed", Buffer.from("secret"));
    const body = "hello";
    const request = { method: "PUT", key: "added", bytes: body.length, sha256: sha256Of(body) } as const;
    const signed = await store.presign(request);
    const everybody = 'uri="http://acs.amazonaws.com/groups/global/AllUsers"';
    const source = `${config.bucket}/${config.prefix}closed`;
    for (const headers of [
      { "x-amz-acl": "public-read" },
      { "x-amz-grant-read": everybody },
      { "x-amz-copy-source": source },
    ]) {
      expect((await send(signed, { body, headers })).ok).toBe(false);
    }
    expect(await failureOf(store.head("added"))).toMatchObject({ code: "not_found" });
    const empty = store.presign({ method: "PUT", key: "added", bytes: 0, sha256: sha256Of("") });
    expect(await failureOf(empty)).toMatchObject({ code: "unsupported" });
    expect((await send(signed, { body })).status).toBe(200);
  });

  test("presign - a URL ends with its time", async () => {
    await store.put("short", Buffer.from("x"));
    const signed = await store.presign({ method: "GET", key: "short", expiresMs: 1000 });
    await expect.poll(async () => (await send(signed)).status, { timeout: 10_000, interval: 300 }).toBe(403);
  });

  test("presign - temporary credentials sign nothing unless the operator allows their token in URLs", async () => {
    const temporary = credentials({ sessionToken: "canary-token" });
    await using careful = withFacts(temporary);
    const failure = await failureOf(careful.presign({ method: "GET", key: "k" }));
    expect(failure).toMatchObject({ code: "artifact_failed", hint: expect.stringContaining("session_token_in_urls") });
    expect(inspect(failure)).not.toContain("canary-token");
    await using open = withFacts({ ...temporary, sessionTokenInUrls: true });
    expect((await open.presign({ method: "GET", key: "k" })).url).toContain("X-Amz-Security-Token=canary-token");
  });

  test("grants - only what the operator listed is signed, for the access that was listed", async () => {
    const artifacts: ArtifactsConfig = {
      store: "s3",
      keep: "asked",
      s3: { ...config, sandboxEndpoint: "http://s3.paddock.test:9000" },
      grants: [
        { bucket: config.bucket, prefix: "team/one/in/", access: "get" },
        { bucket: "other-bucket", prefix: "", access: "both" },
      ],
    };
    await using objects = new GrantedObjects(artifacts);
    const get = (bucket: string | undefined, key: string) => objects.sign({ method: "GET", bucket, key });
    const signed = await get(undefined, "in/a");
    expect(signed).toMatchObject({ bucket: config.bucket, key: "team/one/in/a" });
    expect(signed.url).toMatch(new RegExp(`^http://s3\\.paddock\\.test:9000/${config.bucket}/team/one/in/a\\?`));
    await get(config.bucket, "team/one/in/b");
    await get("other-bucket", "anything");
    for (const [bucket, key] of [
      [undefined, "out/a"],
      [undefined, "in"],
      [config.bucket, "in/a"],
      ["third-bucket", "k"],
    ] as const)
      expect(await failureOf(get(bucket, key))).toMatchObject({ code: "object_denied" });
    const put = { method: "PUT", bucket: undefined, key: "in/a", bytes: 1, sha256: sha256Of("x") } as const;
    expect(await failureOf(objects.sign(put))).toMatchObject({ code: "object_denied" });
    expect(await failureOf(get(undefined, "in/../out/a"))).toMatchObject({ code: "invalid_request" });
    await using none = new GrantedObjects({ ...artifacts, s3: undefined });
    expect(await failureOf(none.sign({ method: "GET", bucket: "other-bucket", key: "k" }))).toMatchObject({
      code: "unsupported",
    });
  });
});
