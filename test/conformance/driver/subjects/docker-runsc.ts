import type { Home } from "../../../../src/config/home.ts";
import type { Driver } from "../../../../src/drivers/driver.ts";
import { openDocker } from "./docker.ts";

export const open = async (home: Home): Promise<Driver> => await openDocker(home, "runsc");
