import { defineConfig } from "vitest/config";

/** For `broken.test.ts` only: what it includes is meant to fail. */
export default defineConfig({
  test: {
    root: new URL(".", import.meta.url).pathname,
    include: ["*.conformance.ts"],
    pool: "forks",
    hookTimeout: 60_000,
  },
});
