// An owner to be killed: makes one sandbox that may be adopted, writes a file in it, prints its spec as JSON and waits.
import { resolveHome } from "../../../src/config/home.ts";
import { openHarness } from "./harness.ts";

const harness = await openHarness({ runtime: "runc", home: resolveHome({ PADDOCK_HOME: process.argv[2] }, 0) });
const guest = await harness.open({ adoption: { graceMs: 60_000, state: { lease: 7 } } });
await guest.run("sh", "-c", "echo kept > /workspace/note");
console.log(JSON.stringify({ spec: guest.spec, isolation: guest.host.isolation }));
setInterval(() => undefined, 60_000);
