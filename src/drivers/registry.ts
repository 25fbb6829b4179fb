import type { Config } from "../config/config.ts";
import { PaddockError } from "../errors/error.ts";
import type { Driver } from "./driver.ts";

/** The one place that knows concrete drivers; each is loaded only when chosen. */
export async function openDriver(config: Config): Promise<Driver> {
  switch (config.driver) {
    case "bubblewrap": {
      const { BubblewrapDriver } = await import("./bubblewrap/driver.ts");
      return new BubblewrapDriver(config);
    }
    case "docker":
      throw new PaddockError("unsupported", "the docker driver is not part of this build");
  }
}
