import { loadConfig } from "../../../../src/config/config.ts";
import type { Home } from "../../../../src/config/home.ts";
import type { Driver } from "../../../../src/drivers/driver.ts";
import { openDriver } from "../../../../src/drivers/registry.ts";

export async function open(home: Home): Promise<Driver> {
  const env = { PADDOCK_HOME: home.root, PADDOCK_DRIVER: "bubblewrap" };
  return await openDriver(loadConfig(env, process.getuid?.() ?? 0), env);
}
