import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { IS_SOAK } from "../support/soak.ts";

const run = promisify(execFile);

/** Over standard streams only what goes another way there is run each time; the soak runs all. */
const OVER_STREAMS = ["test_handshake", "test_network"];

const SUITES = [
  "test_handshake",
  "test_processes",
  "test_ending",
  "test_output",
  "test_network",
  "test_protection",
  "test_code",
  "test_interpreters",
  "test_interrupts",
];

async function runSuite(suite: string, transport: string): Promise<void> {
  const path = fileURLToPath(new URL(`${suite}.py`, import.meta.url));
  const env = { ...process.env, PADDOCK_TEST_TRANSPORT: transport };
  const { stderr } = await run("/usr/bin/python3", ["-W", "ignore::ResourceWarning", path], { env });
  expect(stderr).toMatch(/\nRan [1-9]\d* tests? in [\d.]+s\n\nOK/);
}

/** They wait more than they work, so they run beside each other (maxConcurrency of vitest.config.ts). */
describe.concurrent("the supervisor as pid 1", { timeout: 300_000 }, () => {
  for (const transport of ["socket", "stdio"])
    for (const suite of transport === "socket" || IS_SOAK ? SUITES : OVER_STREAMS)
      test(`the supervisor as pid 1 passes ${suite}.py over ${transport}`, () => runSuite(suite, transport));

  test("the supervisor as pid 1 passes test_stream.py", () => runSuite("test_stream", "stdio"));
});
