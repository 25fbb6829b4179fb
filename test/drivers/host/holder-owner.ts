/**
 * An owner to be killed. Arguments: data folder, engine socket, JSON {until, graceMs?, runtime?}. Prints the id, and
 * `until` when that step is done; then waits.
 */
import { resolveHome } from "../../../src/config/home.ts";
import { createContainer, startContainer } from "./containers.ts";
import { holdOne, openHolder } from "./holding.ts";

const [root = "", socket = "", text = ""] = process.argv.slice(2);
const { until, graceMs, runtime } = JSON.parse(text) as { until: string; graceMs?: number; runtime?: string };
const holder = await openHolder(resolveHome({ PADDOCK_HOME: root }, 0));
const say = (step: string): void => void process.stdout.write(`${step}\n`);
setInterval(() => undefined, 1000);

const one = await holdOne(holder, resolveHome({ PADDOCK_HOME: root }, 0), socket, graceMs);
say(one.id);
say("held");
if (until !== "held") {
  const created = createContainer(socket, one.id, one.held, runtime);
  say("creating");
  const containerId = until === "creating" ? await new Promise<string>(() => undefined) : await created;
  say("created");
  if (until !== "created") {
    const starting = startContainer(socket, containerId);
    say("starting");
    const facts = until === "starting" ? await new Promise<Awaited<typeof starting>>(() => undefined) : await starting;
    say("running");
    if (until !== "running") {
      await holder.started(one.id, facts);
      say("started");
      if (until === "removing") {
        void holder.remove(one.id, { keepWorkspace: false, containerRemoved: false });
        say("removing");
      }
    }
  }
}
