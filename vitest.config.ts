import { defineConfig } from "vitest/config";

// One file at a time: the suites start real sandboxes and measure deadlines on a two-core machine.
export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["test/soak/**"],
    globalSetup: ["test/support/engine-setup.ts", "test/support/s3-teardown.ts"],
    pool: "forks",
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});
