/**
 * An owner to be killed: makes sandboxes, says so on standard output and waits. Arguments: data folder, count, whether
 * they fork daemons.
 */
import { resolveHome } from "../../../src/config/home.ts";
import { openHarness } from "./harness.ts";

const [root = "", count = "1", limits = "auto"] = process.argv.slice(2);
const home = resolveHome({ PADDOCK_HOME: root }, 0);
const harness = openHarness({ home, limits: limits === "rlimit" ? "rlimit" : "auto" });
const made = [];
for (let index = 0; index < Number(count); index++) {
  const guest = await harness.open();
  await guest.run(`
import os, time
for _ in range(5):
    if os.fork() == 0:
        os.setsid()
        time.sleep(1000)
open("/workspace/file", "w").write("x")
result = True`);
  made.push({ id: guest.spec.id, isolation: guest.sandbox.isolation });
}
process.stdout.write(`${JSON.stringify(made)}\n`);
setInterval(() => undefined, 1000);
