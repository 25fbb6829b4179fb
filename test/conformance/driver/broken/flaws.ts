import type { Driver, DriverSandbox } from "../../../../src/drivers/driver.ts";
import type { Limits } from "../../../../src/model/limits.ts";
import { SKIPS } from "../expected.ts";

const KNOWN_SKIPS = SKIPS["bubblewrap"] ?? {};
const LEFT_OUT = "a paused sandbox can be killed and destroyed";

/** A way to get a driver, or its list of skips, wrong, and the check that must notice. */
export interface Flaw {
  readonly name: string;
  readonly caughtBy: string;
  readonly spoil?: (driver: Driver) => Driver;
  readonly skips?: Readonly<Record<string, string>>;
}

const GIB = 1024 ** 3;

const withLimits = (limits: Partial<Limits>) => (driver: Driver) =>
  spoilCreate(driver, (spec, ...rest) => driver.create({ ...spec, limits: { ...spec.limits, ...limits } }, ...rest));

/** Every sandbox with some of its methods replaced. */
const withSandbox = (change: (sandbox: DriverSandbox) => Partial<DriverSandbox>) => (driver: Driver) =>
  spoilCreate(driver, async (...asked) => {
    const sandbox = await driver.create(...asked);
    return new Proxy(sandbox, {
      get: (target, name) => {
        const changed = change(sandbox)[name as keyof DriverSandbox];
        const value = changed ?? Reflect.get(target, name, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  });

function spoilCreate(driver: Driver, create: Driver["create"]): Driver {
  return new Proxy(driver, {
    get: (target, name) => {
      if (name === "create") return create;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

export const FLAWS: readonly Flaw[] = [
  {
    name: "forgets the pids limit",
    caughtBy: "pids: forks are refused at the limit, and the sandbox lives on",
    spoil: withLimits({ pids: 1000 }),
  },
  {
    name: "forgets the memory limit",
    caughtBy: "memory: a hog is stopped at the limit, and the host's counter shows it",
    spoil: withLimits({ memoryBytes: GIB }),
  },
  {
    name: "forgets the size of tmp",
    caughtBy: "tmp: writing ends at its size with no space left",
    spoil: withLimits({ tmpBytes: GIB / 4 }),
  },
  {
    name: "forgets to remove workspaces",
    caughtBy: "a supervisor dials and answers, and destroying leaves nothing",
    spoil: withSandbox((sandbox) => ({ destroy: () => sandbox.destroy({ keepWorkspace: true }) })),
  },
  {
    name: "counts no cpu",
    caughtBy: "cpu: the host's count rises with what is used, and not otherwise",
    spoil: withSandbox((sandbox) => ({ usage: () => ({ ...sandbox.usage(), cpuTotalUs: 0 }) })),
  },
  {
    name: "says nothing of a kill",
    caughtBy: "a sandbox whose supervisor is killed from outside ends, and says so",
    spoil: withSandbox((sandbox) => ({ ended: sandbox.ended.then(() => ({ kind: "exited", detail: "" }) as const) })),
  },
  {
    name: "leaves out a check that is not listed",
    caughtBy: LEFT_OUT,
    skips: Object.fromEntries(Object.entries(KNOWN_SKIPS).filter(([title]) => title !== LEFT_OUT)),
  },
  {
    name: "lists a check that does not exist",
    caughtBy: "every listed skip names a check",
    skips: { ...KNOWN_SKIPS, "no such check": "it was renamed" },
  },
];
