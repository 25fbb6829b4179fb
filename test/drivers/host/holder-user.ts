/**
 * Runs as an ordinary user: holds sandboxes for an engine that sees this user's files, and prints what it saw as JSON.
 * Argument: data folder.
 */
import { resolveHome } from "../../../src/config/home.ts";
import { listLeftovers } from "../bubblewrap/harness.ts";
import { holdOne, openHolder } from "./holding.ts";

const home = resolveHome({ PADDOCK_HOME: process.argv[2] ?? "" }, 1);
const holder = await openHolder(home);
const one = await holdOne(holder, home, null, undefined, { storage: "loop" });
const during = listLeftovers(home);
await holder.remove(one.id, { keepWorkspace: true, containerRemoved: true });
const ended = { kind: "ended", sandboxId: one.id, writable: true } as const;
const again = await holdOne(holder, home, null, undefined, { workspace: ended, storage: "folder", id: one.id });
await holder.remove(again.id, { keepWorkspace: false, containerRemoved: true });
const left = { ...listLeftovers(home), run: [] };
const { findings } = holder;
await holder[Symbol.asyncDispose]();
process.stdout.write(`${JSON.stringify({ first: one.held, again: again.held, during, left, findings })}\n`);
