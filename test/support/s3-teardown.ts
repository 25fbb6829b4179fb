import { stopS3 } from "./s3.ts";

/** Names the folder of this run's S3 server for the workers; nothing is started before a test asks for it. */
export function setup(): () => void {
  process.env["PADDOCK_TEST_S3"] = `/tmp/paddock-s3-test-${process.pid}`;
  process.env["PADDOCK_TEST_S3_OWNER"] = String(process.pid);
  return stopS3;
}
