import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const run = promisify(execFile);

const SUITES = [
  "test_handshake",
  "test_processes",
  "test_ending",
  "test_output",
  "test_network",
  "test_protection",
  "test_code",
];

for (const suite of SUITES) {
  test(`the supervisor as pid 1 passes ${suite}.py`, { timeout: 180_000 }, async () => {
    const path = fileURLToPath(new URL(`${suite}.py`, import.meta.url));
    const { stderr } = await run("/usr/bin/python3", ["-W", "ignore::ResourceWarning", path]);
    expect(stderr).toMatch(/\nRan [1-9]\d* tests? in [\d.]+s\n\nOK/);
  });
}
