import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { lacks } from "../../support/needs.ts";
import { FLAWS } from "./broken/flaws.ts";

const CONFIG = fileURLToPath(new URL("broken/vitest.config.ts", import.meta.url));
const VITEST = fileURLToPath(new URL("../../../node_modules/vitest/vitest.mjs", import.meta.url));
const SOUND = "standard input arrives whole and ends";
const LIMIT_MS = 120_000;

interface Report {
  readonly testResults: readonly {
    readonly assertionResults: readonly {
      readonly ancestorTitles: readonly string[];
      readonly title: string;
      readonly status: string;
    }[];
  }[];
}

/** Runs the exported suite over the broken drivers, only the checks that matter here. */
function runBroken(home: string): Report {
  const report = join(home, "report.json");
  const titles = [SOUND, ...FLAWS.map(({ caughtBy }) => caughtBy)].map((title) =>
    title.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"),
  );
  const args = [
    VITEST,
    "run",
    "--config",
    CONFIG,
    "--reporter=json",
    "--outputFile",
    report,
    "-t",
    `(${titles.join("|")})$`,
  ];
  const { stderr } = spawnSync(process.execPath, args, {
    env: { ...process.env, CI: "true", PADDOCK_BROKEN_HOME: home },
    encoding: "utf8",
    timeout: LIMIT_MS,
  });
  if (!existsSync(report)) throw new Error(`the suite gave no report: ${stderr}`);
  return JSON.parse(readFileSync(report, "utf8")) as Report;
}

test.skipIf(lacks(process.getuid?.() === 0, "root"))(
  "conformance - a driver with a flaw fails the check that is about it, and no other",
  () => {
    const home = mkdtempSync("/var/tmp/paddock-broken-");
    chmodSync(home, 0o711);
    try {
      const results = runBroken(home).testResults.flatMap(({ assertionResults }) => assertionResults);
      const titled = (status: string): readonly (readonly [string | undefined, string])[] =>
        results.filter((one) => one.status === status).map(({ ancestorTitles, title }) => [ancestorTitles[0], title]);
      expect(titled("failed")).toEqual(FLAWS.map(({ name, caughtBy }) => [`driver ${name}`, caughtBy]));
      expect(titled("passed").filter(([, title]) => title === SOUND)).toHaveLength(FLAWS.length);
    } finally {
      rmSync(home, { recursive: true });
    }
  },
  LIMIT_MS,
);
