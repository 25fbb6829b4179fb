import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import type { S3Config } from "../../src/config/artifacts.ts";

const SCRIPT = fileURLToPath(new URL("../../scripts/s3-server.sh", import.meta.url));
const START_MS = 120_000;

export const hasS3Server = ["radosgw", "ceph-mon", "ceph-osd", "ceph"].every((program) =>
  ["/usr/bin", "/usr/sbin"].some((folder) => existsSync(`${folder}/${program}`)),
);

export interface TestS3 {
  readonly endpoint: string;
  readonly port: number;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/**
 * The real server of this test run: started by the first who asks, stopped with the run (test/support/s3-teardown.ts).
 */
export function startS3(): TestS3 {
  const folder = process.env["PADDOCK_TEST_S3"];
  const owner = process.env["PADDOCK_TEST_S3_OWNER"];
  if (folder === undefined || owner === undefined)
    throw new Error("vitest.config.ts names test/support/s3-teardown.ts");
  const text = execFileSync("bash", [SCRIPT, "start", folder, owner], { encoding: "utf8", timeout: START_MS });
  const settings = new Map(text.split("\n").map((line) => [line.split("=")[0], line.slice(line.indexOf("=") + 1)]));
  const endpoint = settings.get("S3_ENDPOINT") ?? "";
  return {
    endpoint,
    port: Number(new URL(endpoint).port),
    accessKeyId: settings.get("S3_ACCESS_KEY_ID") ?? "",
    secretAccessKey: settings.get("S3_SECRET_ACCESS_KEY") ?? "",
  };
}

export function stopS3(): void {
  const folder = process.env["PADDOCK_TEST_S3"];
  if (folder !== undefined && existsSync(folder)) execFileSync("bash", [SCRIPT, "stop", folder], { timeout: START_MS });
}

/** A client of the test's own, to look at what the product left. */
export function makeTestClient(server: TestS3): S3Client {
  return new S3Client({
    endpoint: server.endpoint,
    region: "us-east-1",
    forcePathStyle: true,
    credentials: server,
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
  });
}

/** A new bucket and the configuration of a store in it. */
export async function makeBucket(server: TestS3, facts: Partial<S3Config> = {}): Promise<S3Config> {
  const bucket = `test-${randomBytes(6).toString("hex")}`;
  const client = makeTestClient(server);
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  client.destroy();
  return {
    bucket,
    prefix: "",
    endpoint: server.endpoint,
    sandboxEndpoint: undefined,
    region: undefined,
    pathStyle: true,
    credentials: { accessKeyId: server.accessKeyId, secretAccessKey: server.secretAccessKey },
    sessionTokenInUrls: false,
    attempts: 3,
    timeoutMs: 15_000,
    ...facts,
  };
}
