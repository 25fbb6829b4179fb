/**
 * An owner to be killed: opens a driver, makes sandboxes with daemons in them, says their ids on standard output and
 * waits. Arguments: module with `open`, data folder, count, adoption grace in ms (0: none), volume (default: new
 * workspaces).
 */
import type { VolumeId } from "../../../src/model/ids.ts";
import { Bed } from "./bed.ts";
import type { DriverSubject } from "./subject.ts";

const [module = "", homeRoot = "", count = "1", graceMs = "0", volumeId] = process.argv.slice(2);
const { open } = (await import(module)) as Pick<DriverSubject, "open">;
const bed = await Bed.open({ open, homeRoot });
const adoption = { graceMs: Number(graceMs), state: { note: "from the first owner" } };
const workspace = { kind: "volume", volumeId: volumeId as VolumeId, readOnly: false } as const;
const spec = { ...(graceMs === "0" ? {} : { adoption }), ...(volumeId === undefined ? {} : { workspace }) };
for (let index = 0; index < Number(count); index++) {
  const guest = await bed.guest({ spec });
  await guest.sandbox.startProcess({ argv: ["/bin/sh", "-c", "echo begun; exec sleep 1000"], background: true });
  await guest.sandbox.files.write("note", "kept");
}
process.stdout.write(`${JSON.stringify(bed.ids)}\n`);
setInterval(() => undefined, 1000);
