import type { Config } from "../config/config.ts";
import type { Driver } from "./driver.ts";

/**
 * The one place that knows concrete drivers; each is loaded only when chosen. `env` names the container engine where
 * the driver has one.
 */
export async function openDriver(config: Config, env: NodeJS.ProcessEnv): Promise<Driver> {
  switch (config.driver) {
    case "bubblewrap": {
      const { BubblewrapDriver } = await import("./bubblewrap/driver.ts");
      return new BubblewrapDriver(config);
    }
    case "docker": {
      const { DockerDriver } = await import("./docker/driver.ts");
      return new DockerDriver({ ...config, env });
    }
  }
}
