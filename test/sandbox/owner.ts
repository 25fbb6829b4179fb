import { makeSandboxId } from "../../src/model/ids.ts";
import { Channel } from "../../src/sandbox/channel/channel.ts";
import { Sandbox } from "../../src/sandbox/sandbox.ts";
import { makeBox, ProcessHost, SETTINGS, startSupervisor } from "./supervised.ts";

/** A first owner, to be killed: makes a sandbox with a running process, and says what a second owner needs. */
const box = makeBox();
const channel = await Channel.listen(box.socketDir, box.key, {
  relay: (tunnel) => tunnel.destroy(),
  breach: (error) => {
    throw error;
  },
});
const host = new ProcessHost(startSupervisor(box, "socket"));
const parts = { id: makeSandboxId(), channel, host };
const sandbox = await Sandbox.open(parts, SETTINGS, AbortSignal.timeout(20_000));
const script = "echo before; read line; echo after $line; sleep 0.2";
const heard = Promise.withResolvers<void>();
const running = await sandbox.startProcess({
  argv: ["/bin/sh", "-c", script],
  stdin: true,
  onOutput: () => heard.resolve(),
});
await heard.promise;
// Not bubblewrap's own process: that one may die and leave the supervisor alive.
console.log(JSON.stringify({ box, supervisor: host.listProcesses()[0], running: running.pid }));
