import { loadConfig } from "../../../../src/config/config.ts";
import type { Home } from "../../../../src/config/home.ts";
import type { Driver } from "../../../../src/drivers/driver.ts";
import { openDriver } from "../../../../src/drivers/registry.ts";

/** The docker driver over the engine that DOCKER_HOST names, under one of its runtimes. */
export async function openDocker(home: Home, runtime: string): Promise<Driver> {
  const env = { ...process.env, PADDOCK_HOME: home.root, PADDOCK_DRIVER: "docker", PADDOCK_RUNTIME: runtime };
  return await openDriver(loadConfig(env, process.getuid?.() ?? 0), env);
}
