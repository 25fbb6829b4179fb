/**
 * Runs as an ordinary user: makes sandboxes, looks around, kills, and prints what it saw as JSON. Argument: data
 * folder.
 */
import { readdirSync } from "node:fs";
import { resolveHome } from "../../../src/config/home.ts";
import { makeVolumeId } from "../../../src/model/ids.ts";
import { oweNothing } from "../../conformance/driver/owe-nothing.ts";
import { listLeftovers, listProcessesOf, openHarness } from "./harness.ts";

const home = resolveHome({ PADDOCK_HOME: process.argv[2] ?? "" }, 1);
const uid = process.getuid?.() ?? 0;
const before = listProcessesOf(new Set([uid])).length;
const harness = openHarness({ home });
const findings = await harness.driver.probe(oweNothing);
const guest = await harness.open({ limits: { pids: 30, memoryBytes: 64 << 20 } });
const status = await guest.run("result = dict(l.split(':\\t') for l in open('/proc/self/status').read().splitlines())");
const forks = await guest.run(`
import os, time
result = 0
try:
    while result < 200:
        if os.fork() == 0:
            os.setsid(); time.sleep(1000)
        result += 1
except OSError: pass`);
const allocated = await guest.run(`
try:
    bytearray(1 << 30); result = True
except MemoryError: result = False`);
await guest.run(`
import os
path = b"/workspace/deep"
os.mkdir(path)
os.chdir(path)
for _ in range(2500):
    os.mkdir("d"); os.chdir("d")
os.makedirs("/workspace/closed/inner"); open("/workspace/closed/inner/file", "w").close()
os.chmod("/workspace/closed/inner", 0); os.chmod("/workspace/closed", 0)
result = True`);
const volumeId = makeVolumeId();
await harness.driver.volumes?.make(volumeId, 16 << 20);
const workspace = { kind: "volume", volumeId, readOnly: false } as const;
const volume: unknown[] = [];
for (const code of ["result = open('/workspace/x', 'w').write('kept')", "result = open('/workspace/x').read()"]) {
  await using user = await harness.open({ workspace });
  volume.push(await user.run(code));
}
await harness.driver.volumes?.remove(volumeId);
await guest.sandbox.kill("the test asks");
const afterKill = listProcessesOf(new Set([uid])).length;
const kept = readdirSync(`${home.workspaces}/${guest.spec.id}`).sort();
await guest[Symbol.asyncDispose]();
const leftovers = listLeftovers(home);
await harness[Symbol.asyncDispose]();
const afterClose = listProcessesOf(new Set([uid])).length;
const { isolation } = guest.sandbox;
const usage = guest.sandbox.usage();
const seen = {
  isolation,
  findings,
  status,
  forks,
  allocated,
  kept,
  leftovers,
  usage,
  volume,
  before,
  afterKill,
  afterClose,
};
process.stdout.write(`${JSON.stringify(seen)}\n`);
