/**
 * An owner to be killed: opens a driver, makes sandboxes with daemons in them, says their ids on standard output and waits.
 * Arguments: module with `open`, data folder, count, adoption grace in ms (0: none).
 */
import { Bed } from "./bed.ts";
import type { DriverSubject } from "./subject.ts";

const [module = "", homeRoot = "", count = "1", graceMs = "0"] = process.argv.slice(2);
const { open } = (await import(module)) as Pick<DriverSubject, "open">;
const bed = await Bed.open({ open, homeRoot });
const spec = graceMs === "0" ? {} : { adoption: { graceMs: Number(graceMs), state: { note: "from the first owner" } } };
for (let index = 0; index < Number(count); index++) {
  const guest = await bed.guest({ spec });
  await guest.sandbox.startProcess({ argv: ["/bin/sh", "-c", "echo begun; exec sleep 1000"], background: true });
  await guest.sandbox.files.write("note", "kept");
}
process.stdout.write(`${JSON.stringify(bed.ids)}\n`);
setInterval(() => undefined, 1000);
