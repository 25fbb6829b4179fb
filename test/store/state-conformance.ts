import { afterAll, beforeAll } from "vitest";
import type { StateOptions } from "../../src/store/state/open.ts";
import type { StateStore } from "../../src/store/state-store.ts";
import { testAccess } from "./state/access.ts";
import { testAgents } from "./state/agents.ts";
import { testFences } from "./state/fences.ts";
import { testKeys } from "./state/keys.ts";
import { testLasting } from "./state/lasting.ts";
import { testPrincipalBytes } from "./state/principal-bytes.ts";
import { testPublished } from "./state/published.ts";
import { testRaces } from "./state/races.ts";
import { testResponses } from "./state/responses.ts";
import { type StateSubject, startStore } from "./state/samples.ts";
import { testSequences } from "./state/sequences.ts";

/** What every implementation of `StateStore` has to do. */
export function testStateStore(
  subject: StateSubject,
  runSql: (options: StateOptions, statement: string) => Promise<void>,
): void {
  let store: StateStore | undefined;
  beforeAll(async () => {
    store = await startStore(await subject.makeDatabase());
  });
  afterAll(async () => await store?.[Symbol.asyncDispose]());
  const open = (): StateStore => {
    if (store === undefined) throw new Error("the store did not start");
    return store;
  };
  testAgents(open);
  testPublished(open);
  testResponses(open);
  testFences(open);
  testKeys(open);
  testAccess(open);
  testSequences(open);
  testLasting(subject, runSql);
  testPrincipalBytes(subject);
  testRaces(subject);
}
