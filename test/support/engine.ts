import { lacks } from "./needs.ts";

/** Set for the test processes by `engine-setup.ts`. */
export const ENGINE_VARIABLE = "PADDOCK_TEST_ENGINE";

/** The private engine of a test run (scripts/engine.sh). */
export interface TestEngine {
  readonly socket: string;
  /** For DOCKER_HOST. */
  readonly host: string;
  readonly runtimes: readonly string[];
}

/** Undefined where no engine could be started. */
export function findEngine(): TestEngine | undefined {
  const text = process.env[ENGINE_VARIABLE];
  return text === undefined ? undefined : (JSON.parse(text) as TestEngine);
}

/** For `skipIf`: true, with the reason printed, where there is no engine, or none with this runtime. */
export function lacksEngine(runtime = "runc"): boolean {
  const engine = findEngine();
  if (engine === undefined) return lacks(false, "a Docker engine of its own, which only root can start");
  return lacks(engine.runtimes.includes(runtime), `the runtime ${runtime}`);
}

/** Throws where `lacksEngine()` is true. */
export function testEngine(): TestEngine {
  const engine = findEngine();
  if (engine === undefined) throw new Error("no engine runs for the tests");
  return engine;
}
