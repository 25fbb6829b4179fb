import { Readable } from "node:stream";
import type { PutObjectCommandInput, S3Client } from "@aws-sdk/client-s3";
import type { MeteredContent } from "./content.ts";
import { loadS3 } from "./s3-client.ts";

/** What is shorter goes in one request, with its sha256 as metadata; 10,000 parts of this size make 78 GiB. */
const PART_BYTES = 8 * 1024 * 1024;
/** Parts on their way at once: four of them are what an upload holds in memory. */
const PARTS_AT_ONCE = 3;

export type ObjectFields = Pick<PutObjectCommandInput, "Bucket" | "Key" | "ContentType" | "Metadata" | "IfNoneMatch">;

/**
 * Stores all of the content or nothing: a failure or the signal ends the reading, which makes the upload remove its
 * parts.
 */
export async function uploadObject(
  client: S3Client,
  object: ObjectFields,
  content: MeteredContent,
  hashName: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const chunks = content[Symbol.asyncIterator]();
  try {
    const { head, whole } = await readHead(chunks);
    if (whole) {
      const { PutObjectCommand } = await loadS3();
      const Metadata = { ...object.Metadata, [hashName]: content.sha256 };
      const command = new PutObjectCommand({ ...object, Metadata, Body: head, ContentLength: head.length });
      await client.send(command, signal === undefined ? {} : { abortSignal: signal });
    } else await uploadParts(client, object, head, chunks);
  } finally {
    await chunks.return(undefined);
  }
}

async function readHead(chunks: AsyncGenerator<Buffer>): Promise<{ head: Buffer; whole: boolean }> {
  const head: Buffer[] = [];
  let bytes = 0;
  while (bytes <= PART_BYTES) {
    const { done, value } = await chunks.next();
    if (done === true) return { head: Buffer.concat(head), whole: true };
    head.push(value);
    bytes += value.length;
  }
  return { head: Buffer.concat(head), whole: false };
}

async function uploadParts(
  client: S3Client,
  object: ObjectFields,
  head: Buffer,
  rest: AsyncGenerator<Buffer>,
): Promise<void> {
  const { Upload } = await import("@aws-sdk/lib-storage");
  const body = Readable.from(joined(head, rest), { objectMode: false, highWaterMark: 256 * 1024 });
  // Not by the upload's own abort: that returns before the parts are gone.
  const upload = new Upload({
    client,
    params: { ...object, Body: body },
    partSize: PART_BYTES,
    queueSize: PARTS_AT_ONCE,
  });
  try {
    await upload.done();
  } finally {
    body.destroy();
  }
}

async function* joined(head: Buffer, rest: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  yield head;
  yield* rest;
}
