import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

type Name =
  | "openSync"
  | "readFileSync"
  | "statSync"
  | "writeFileSync"
  | "writeSync"
  | "linkSync"
  | "renameSync"
  | "rmSync";

/**
 * Runs `before` ahead of each call of these functions of `node:fs`, until it is disposed of; not for calls that
 * `before` makes itself.
 */
export function beforeFileCalls(names: readonly Name[], before: (name: Name, path: string) => void): Disposable {
  let isInside = false;
  const real = names.map((name) => [name, fs[name]] as const);
  for (const [name, call] of real) {
    const hooked = (...given: unknown[]): unknown => {
      if (!isInside) {
        isInside = true;
        try {
          before(name, String(given[0]));
        } finally {
          isInside = false;
        }
      }
      return (call as (...given: unknown[]) => unknown)(...given);
    };
    Object.assign(fs, { [name]: hooked });
  }
  syncBuiltinESMExports();
  return {
    [Symbol.dispose]: () => {
      Object.assign(fs, Object.fromEntries(real));
      syncBuiltinESMExports();
    },
  };
}
