// An owner to be killed: makes one sandbox at the engine that the environment names, prints its id and waits.
import { resolveHome } from "../../../src/config/home.ts";
import { openHarness } from "./harness.ts";

const home = resolveHome({ PADDOCK_HOME: process.argv[2] }, 0);
const harness = await openHarness({ runtime: "runc", home, env: process.env });
const guest = await harness.open({ image: process.argv[3] ?? "" });
console.log(guest.spec.id);
setInterval(() => undefined, 60_000);
