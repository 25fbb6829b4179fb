import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";

const ROOT = join(import.meta.dirname, "..");

/** Suites that use the tests' container engine, with all drivers or alone. */
export const ENGINE_SUITES: readonly string[] = [
  "test/crash.test.ts",
  "test/samples.test.ts",
  "test/scripts/engine.test.ts",
  "test/{compare,guest,security,fleet}/**/*.test.ts",
  "test/drivers/{docker,host}/**/*.test.ts",
  "test/conformance/driver/{docker*,podman}.test.ts",
  "test/cli/{images,compare}.test.ts",
  "test/keeper/orphan.test.ts",
];

/**
 * What a suite imports when it starts a process, a server or a sandbox, or builds the whole product; and what only a
 * process has to itself.
 */
const HEAVY =
  /from "(?:node:(?:child_process|http|https|net|tls|vm|worker_threads)|(?:\.\.\/)+src\/(?:app|index|service|drivers\/registry|store\/state\/open|drivers\/(?:bubblewrap|docker)\/driver)\.ts)"|process\.(?:umask|chdir)\(/;

const RELATIVE = /from "(\.[^"]+)"/g;

/** Whether the suite, or what it imports below test/, is heavy. */
function isHeavy(path: string, seen = new Set<string>()): boolean {
  if (seen.has(path) || !existsSync(path)) return false;
  seen.add(path);
  const text = readFileSync(path, "utf8");
  if (HEAVY.test(text)) return true;
  const imported = [...text.matchAll(RELATIVE)].map(([, target = ""]) => resolve(dirname(path), target));
  return imported.some((target) => target.startsWith(join(ROOT, "test")) && isHeavy(target, seen));
}

/** Suites that need nothing but this process. They run in parallel threads and share their modules. */
export function listUnitSuites(): readonly string[] {
  return globSync(join(ROOT, "test/**/*.test.ts"))
    .filter((path) => !isHeavy(path))
    .map((path) => relative(ROOT, path))
    .toSorted();
}

/** Suites that take longest, measured at the end of `npm test`: begun first, so that none of them runs alone at the end. */
const LONG_SUITES: readonly string[] = [
  "test/supervisor/core.test.ts",
  "test/cli/run.test.ts",
  "test/client/task.test.ts",
  "test/cli/kept.test.ts",
  "test/conformance/driver/broken.test.ts",
  "test/setup/install.test.ts",
  "test/crash.test.ts",
  "test/conformance/driver/docker-runc.test.ts",
  "test/guest/guest.test.ts",
  "test/conformance/driver/docker-runsc.test.ts",
  "test/keeper/orphan.test.ts",
  "test/drivers/host/holder-death.test.ts",
];

/** The place of a suite in the order of a run: long ones first, the others after them. */
export function rankSuite(path: string): number {
  const place = LONG_SUITES.indexOf(relative(ROOT, path));
  return place < 0 ? LONG_SUITES.length : place;
}
