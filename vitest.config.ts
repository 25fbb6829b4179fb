import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";
import { ENGINE_SUITES, listUnitSuites, rankSuite } from "./scripts/suites.ts";

const S3 = "test/support/s3-teardown.ts";
const unit = [...listUnitSuites()];

class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    return sorted.toSorted((one, other) => rankSuite(one.moduleId) - rankSuite(other.moduleId));
  }
}

/** Three projects, which run beside each other (scripts/test.sh): their suites spend most of their time waiting. */
export default defineConfig({
  test: {
    testTimeout: 60_000,
    hookTimeout: 120_000,
    maxConcurrency: 3,
    sequence: { sequencer: LongFirst },
    expect: { poll: { timeout: 20_000 } },
    projects: [
      { extends: true, test: { name: "unit", include: unit, pool: "threads", isolate: false } },
      {
        extends: true,
        test: {
          name: "host",
          include: ["test/**/*.test.ts"],
          exclude: [...ENGINE_SUITES, ...unit],
          pool: "forks",
          globalSetup: [S3],
        },
      },
      {
        extends: true,
        test: {
          name: "engine",
          include: [...ENGINE_SUITES],
          exclude: unit,
          pool: "forks",
          globalSetup: ["test/support/engine-setup.ts", S3],
        },
      },
    ],
  },
});
