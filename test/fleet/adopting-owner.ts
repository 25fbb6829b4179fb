// An owner to be killed: leases a sandbox that may be adopted, leaves a file and a process in it, prints the id and
// waits. Arguments: grace in ms, egress policy.
import { createPaddock } from "../../src/index.ts";

const [graceMs = "60000", network = "none"] = process.argv.slice(2);
const paddock = await createPaddock({ config: { driver: "docker" } });
const lease = await paddock.open({
  nodeType: "file",
  bare: true,
  survive: Number(graceMs),
  network,
  env: { FROM: "the first owner" },
});
await lease.sandbox.files.write("note", "kept");
const counter = ["/bin/sh", "-c", 'read go; echo "$go" after'];
await lease.sandbox.startProcess({ argv: counter, stdin: true, background: false });
process.stdout.write(`${lease.sandbox.id}\n`);
setInterval(() => undefined, 1000);
