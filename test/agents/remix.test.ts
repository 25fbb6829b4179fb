import { rmSync } from "node:fs";
import { afterEach, expect, test } from "vitest";
import type { App } from "../../src/app.ts";
import type { Fleet } from "../../src/fleet/fleet.ts";
import type { AgentRow } from "../../src/model/agent.ts";
import { ALICE, makePrincipal, until, World, type WorldOptions } from "./world.ts";

/** Copies that something interrupts. */

const BOB = makePrincipal("bob");
const ALL = { code: true, env: true, content: true };
const WHOLE = "content\ncontent/index.html\ndata\ndata/large\npage\n3000000\n";
const LIST = "find content data | sort; cat content/index.html; stat -c %s data/large";
const worlds: World[] = [];

afterEach(async () => {
  const roots = new Set(worlds.map(({ root }) => root));
  for (const world of worlds.splice(0).reverse()) await world[Symbol.asyncDispose]();
  for (const root of roots) rmSync(root, { recursive: true, force: true });
});

async function open(options: WorldOptions = {}): Promise<World> {
  const world = await World.open(options);
  worlds.push(world);
  return world;
}

/** Its sandboxes go, and it writes nothing more. */
async function end(world: World): Promise<void> {
  worlds.splice(worlds.indexOf(world), 1);
  await world.store[Symbol.asyncDispose]();
  await world.app.fleet[Symbol.asyncDispose]();
}

async function makeParent(world: World): Promise<AgentRow> {
  const parent = await world.create("parent", {}, { setup: "[ ! -e slow ] || sleep 1000" });
  await world.run(parent, "echo page > content/index.html; mkdir data; head -c 3000000 /dev/urandom > data/large");
  return await world.look(parent);
}

const remix = async (world: World, parent: AgentRow, by = ALICE): Promise<AgentRow> =>
  await world.agents.remix(parent, { name: "child", code: false, env: false, prompt: null }, by);

/** Stops the next copy in its middle until its porter ends; resolves when it is there. */
async function stopCopy(fleet: Fleet): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const openPorter = fleet.openVolumePorter.bind(fleet);
  fleet.openVolumePorter = async (volumeId, readOnly, signal) => {
    const porter = await openPorter(volumeId, readOnly, signal);
    if (readOnly) return porter;
    fleet.openVolumePorter = openPorter;
    const { files, ended } = porter.sandbox;
    const importTar = files.importTar.bind(files);
    files.importTar = async (path, archive, options) => {
      const stopping = stopAfterFirst(archive as AsyncIterable<Buffer>, resolve, ended);
      return await importTar(path, stopping, options);
    };
    return porter;
  };
  await promise;
}

async function* stopAfterFirst(
  archive: AsyncIterable<Buffer>,
  stopped: () => void,
  ended: Promise<unknown>,
): AsyncGenerator<Buffer> {
  for await (const chunk of archive) {
    yield chunk;
    stopped();
    await ended;
  }
}

/** A remix whose copy has been interrupted in its middle, by a sleep. */
async function makeInterrupted(
  world: World,
  by = ALICE,
): Promise<{ readonly parent: AgentRow; readonly child: AgentRow }> {
  const parent = await makeParent(world);
  if (by !== ALICE) await world.agents.publish(parent, ALL, ALICE);
  const stopped = stopCopy(world.app.fleet);
  const child = await remix(world, await world.look(parent), by);
  await stopped;
  await world.agents.sleep(child, { delaySeconds: 0 }, by);
  return { parent: await world.look(parent), child: await world.look(child) };
}

test("agents - a remix that sleeps before its parent could be read is copied at the next wake", async () => {
  const world = await open();
  const parent = await makeParent(world);
  await world.run(parent, "touch slow");
  await world.agents.sleep(await world.look(parent), { delaySeconds: 0 }, ALICE);
  await world.agents.wake(await world.look(parent), null, ALICE);
  const child = await remix(world, parent);
  await until(async () => (await world.volumes()).includes(child.volumeId) || undefined);
  await world.agents.sleep(child, { delaySeconds: 0 }, ALICE);
  await world.agents.sleep(await world.look(parent), { delaySeconds: 0 }, ALICE);
  expect(await world.run(child, LIST)).toBe(WHOLE);
});

test("agents - a copy that was interrupted in its middle begins anew, and nothing of the first stays", async () => {
  const world = await open();
  const { parent, child } = await makeInterrupted(world);
  expect(child.missingCopy).toMatchObject({ parentId: parent.id });
  await world.run(parent, "mv content/index.html content/other");
  expect(await world.run(child, "ls content; stat -c %s data/large")).toBe("other\n3000000\n");
  expect((await world.look(child)).missingCopy).toBeNull();
  await world.run(child, "echo mine > content/other");
  await world.agents.sleep(await world.look(child), { delaySeconds: 0 }, ALICE);
  expect(await world.run(child, "cat content/other")).toBe("mine\n");
});

test.each(["is killed", "is stopped"])(
  "agents - a server that %s amid a copy makes it at its next start",
  async (how) => {
    const first = await open();
    const { root } = first;
    const parent = await makeParent(first);
    const stopped = stopCopy(first.app.fleet);
    const child = await remix(first, parent);
    await stopped;
    if (how === "is stopped") {
      expect(await first.agents.drain(1000)).toEqual({ finished: 0, handedBack: 0 });
      await first.agents[Symbol.asyncDispose]();
    }
    await end(first);

    const second = await open({ root });
    await until(async () => (await second.look(child)).missingCopy === null || undefined);
    expect((await second.look(child)).state).toBe("slept");
    expect((await second.markers(child)).map(({ reason }) => reason)).toEqual(["server_restart"]);
    expect(await second.run(child, LIST)).toBe(WHOLE);
  },
);

test("agents - a wake does not wait for the copy that a start makes", async () => {
  const first = await open();
  const { root } = first;
  const { child } = await makeInterrupted(first);
  await end(first);

  let stopped: Promise<void> | undefined;
  const beforeStart = ({ fleet }: App): void => {
    stopped = stopCopy(fleet);
  };
  const second = await open({ root, beforeStart });
  await stopped;
  await second.agents.wake(await second.look(child), null, ALICE);
  expect(await second.run(child, LIST)).toBe(WHOLE);
});

test("agents - a remix whose parent is gone says what it lacks, to each task and after each wake", async () => {
  const world = await open();
  const { parent, child } = await makeInterrupted(world);
  await world.agents.remove(parent);
  for (const _ of [1, 2]) {
    const { row, segments } = await world.ended(await world.post(child, "ls"));
    expect([row.status, segments[0]?.["text"]]).toEqual(["completed", expect.stringContaining("could not be copied")]);
    expect((await world.agents.details(await world.look(child))).setup).toMatchObject({
      status: "failed",
      stderr: expect.stringContaining("Agent not found"),
    });
    await world.agents.sleep(await world.look(child), { delaySeconds: 0 }, ALICE);
  }
});

test("agents - what is published no more is not copied later", async () => {
  const world = await open();
  const { parent, child } = await makeInterrupted(world, BOB);
  await world.agents.unpublish(parent);
  const { segments } = await world.ended(await world.post(child, "find content data"));
  expect(segments[0]?.["text"]).toContain("publish");
  expect(JSON.stringify(segments)).not.toContain("index.html");
});

test("agents - a remix that sleeps is copied before it is published", async () => {
  const world = await open();
  const { child } = await makeInterrupted(world);
  await world.agents.publish(child, ALL, ALICE);
  expect(await world.store.findPublishedFile("child", "index.html")).toMatchObject({ bytes: 5 });
  expect((await world.look(child)).missingCopy).toBeNull();
});

/** Holds the next copy in its middle until `release` is called; it goes on then. */
function holdCopy(fleet: Fleet): { readonly held: Promise<void>; readonly release: () => void } {
  const held = Promise.withResolvers<void>();
  const going = Promise.withResolvers<void>();
  const openPorter = fleet.openVolumePorter.bind(fleet);
  fleet.openVolumePorter = async (volumeId, readOnly, signal) => {
    const porter = await openPorter(volumeId, readOnly, signal);
    if (readOnly) return porter;
    fleet.openVolumePorter = openPorter;
    const { files } = porter.sandbox;
    const importTar = files.importTar.bind(files);
    files.importTar = async (path, archive, options) =>
      await importTar(path, stopAfterFirst(archive as AsyncIterable<Buffer>, held.resolve, going.promise), options);
    return porter;
  };
  return { held: held.promise, release: going.resolve };
}

test("agents - strangers' remixes of one agent are bounded, and its owner waits for one copy at most", async () => {
  const world = await open();
  const parent = await makeParent(world);
  await world.agents.publish(await world.look(parent), ALL, ALICE);
  await world.agents.sleep(await world.look(parent), { delaySeconds: 0 }, ALICE);
  const asleep = await world.look(parent);
  const { held, release } = holdCopy(world.app.fleet);
  const copy = async (name: string): Promise<AgentRow> =>
    await world.agents.remix(asleep, { name, code: false, env: false, prompt: null }, BOB);
  const children = await Promise.all(Array.from({ length: 8 }, async (_, at) => await copy(`child-${at}`)));
  await held;
  await expect(copy("child-8")).rejects.toMatchObject({ code: "rate_limited" });
  const waking = world.agents.wake(asleep, null, ALICE);
  release();
  await waking;
  const present = await Promise.all(children.map(async (child) => await world.look(child)));
  expect(present.filter(({ missingCopy }) => missingCopy === null).length).toBeLessThanOrEqual(2);
  for (const child of children) expect(await world.run(child, LIST)).toBe(WHOLE);
  expect((await copy("child-8")).parentName).toBe("parent");
});
