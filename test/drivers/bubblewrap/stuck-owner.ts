/**
 * An owner to be killed: one sandbox without groups and without a workspace on the disk, whose process writes to a
 * folder. Arguments: data folder, the folder.
 */
import { resolveHome } from "../../../src/config/home.ts";
import { openHarness } from "./harness.ts";
import { writeTo } from "./stuck.ts";

const [root = "", folder = ""] = process.argv.slice(2);
const harness = openHarness({ home: resolveHome({ PADDOCK_HOME: root }, 0), limits: "rlimit" });
const guest = await harness.open({ workspace: { kind: "memory" }, ...writeTo(folder).changes });
await guest.run(writeTo(folder).code);
process.stdout.write(`${guest.spec.id}\n`);
setInterval(() => undefined, 1000);
