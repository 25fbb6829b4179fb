import { defineConfig } from "vitest/config";

/** Suites that use the tests' container engine, with all drivers or alone. They may run beside the others (scripts/test.sh). */
const ENGINE_SUITES = [
  "test/crash.test.ts",
  "test/samples.test.ts",
  "test/scripts/engine.test.ts",
  "test/{compare,guest,security,fleet}/**/*.test.ts",
  "test/drivers/{docker,host}/**/*.test.ts",
  "test/conformance/driver/{docker*,podman}.test.ts",
  "test/cli/{images,compare}.test.ts",
  "test/keeper/orphan.test.ts",
];
const S3 = "test/support/s3-teardown.ts";

// One file at a time in each half: the suites start real sandboxes and measure deadlines.
export default defineConfig({
  test: {
    pool: "forks",
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 120_000,
    projects: [
      {
        extends: true,
        test: {
          name: "host",
          include: ["test/**/*.test.ts"],
          exclude: ["test/soak/**", ...ENGINE_SUITES],
          globalSetup: [S3],
        },
      },
      {
        extends: true,
        test: { name: "engine", include: ENGINE_SUITES, globalSetup: ["test/support/engine-setup.ts", S3] },
      },
    ],
  },
});
