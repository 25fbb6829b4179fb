import type { Owe } from "../../../src/lib/owe.ts";

/** For drivers without a fleet: what cannot be removed fails the run. */
export const oweNothing: Owe = (id, _remove, cause) => {
  void Promise.reject(new Error(`sandbox ${id} could not be removed`, { cause }));
};
