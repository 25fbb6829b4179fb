/**
 * An owner to be killed: makes volumes and removes every second one, and says the id of each before. Argument: data
 * folder.
 */
import { writeSync } from "node:fs";
import { resolveHome } from "../../../src/config/home.ts";
import { makeVolumeId } from "../../../src/model/ids.ts";
import { openHarness } from "./harness.ts";

const { driver } = openHarness({ home: resolveHome({ PADDOCK_HOME: process.argv[2] ?? "" }, 0) });
await driver.start();
for (let count = 0; ; count++) {
  const id = makeVolumeId();
  writeSync(1, `${id}\n`);
  await driver.volumes?.make(id, 16 * 1024 * 1024);
  if (count % 2 === 1) await driver.volumes?.remove(id);
}
