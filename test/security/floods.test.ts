import { afterAll, beforeAll, expect, test } from "vitest";
import type { App } from "../../src/app.ts";
import { openTestApp } from "../support/home.ts";
import { openLease } from "./open-lease.ts";

let app: App;
beforeAll(async () => {
  app = await openTestApp();
});
afterAll(async () => {
  await app[Symbol.asyncDispose]();
});

/** Finds the payload socket of its own run and writes empty rich outputs past the runner. */
const RICH_FLOOD = `
import os
payload = next(fd for fd in range(64, 128) if os.path.exists(f"/proc/self/fd/{fd}"))
frame = bytes([2, 0, 0, 0, 2, 1]) + b"x"
rest = memoryview(frame * 20_000)
while rest:
    rest = rest[os.write(payload, rest):]
`;

test("floods - a run leaves at most 1,000 rich outputs on the host, and its result says that there were more", async () => {
  await using lease = await openLease(app, "file");
  const run = await lease.sandbox.runCode({ language: "python", code: RICH_FLOOD, deadlineMs: 20_000 });
  expect(run.report).toMatchObject({ exit_code: 0, truncated: true });
  expect(run.rich.length).toBe(1000);
});
