import { ListMultipartUploadsCommand } from "@aws-sdk/client-s3";
import { describe } from "vitest";
import { S3Artifacts } from "../../../src/store/artifacts/s3.ts";
import { lacks } from "../../support/needs.ts";
import { hasS3Server, makeBucket, makeTestClient, startS3 } from "../../support/s3.ts";
import { artifactStoreSuite } from "./suite.ts";

describe.skipIf(lacks(hasS3Server, "an S3-protocol server (scripts/setup.sh --test)"))("a real server", () => {
  artifactStoreSuite("s3", async () => {
    const server = startS3();
    const config = await makeBucket(server);
    const store = new S3Artifacts(config);
    const client = makeTestClient(server);
    return {
      store,
      listDebris: async () => {
        const { Uploads } = await client.send(new ListMultipartUploadsCommand({ Bucket: config.bucket }));
        return (Uploads ?? []).map(({ Key = "" }) => Key);
      },
      close: async () => {
        client.destroy();
        await store[Symbol.asyncDispose]();
      },
    };
  });
});
