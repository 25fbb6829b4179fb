import { Command } from "commander";
import { type App, createApp } from "../../app.ts";
import { PaddockError } from "../../errors/error.ts";
import type { ImageStore } from "../../fleet/environments/images.ts";
import { NODE_TYPES, type NodeType, parseNodeType } from "../../model/node-type.ts";
import { formatBytes, formatMs } from "../../report/format.ts";
import { catchInterrupts } from "../process/signals.ts";
import { oneLine, printable } from "../render/escape.ts";
import { renderTable } from "../render/table.ts";
import { ProgressLine, say } from "../render/terminal.ts";
import { addDriverOptions } from "../request/driver-options.ts";

type Name = NodeType | "base";

const NAMES: readonly Name[] = ["base", ...NODE_TYPES];

interface BuildFlags {
  readonly bootstrap?: boolean;
  readonly cache: boolean;
  readonly json?: boolean;
}

export function imagesCommand(): Command {
  const command = new Command("images").description(
    "build, list and prune the images that nodes of containers start from",
  );
  addDriverOptions(command.command("build"))
    .description("build images, each unless it is current")
    .argument("[type...]", `${NAMES.join(", ")} (default: all)`)
    .option("--bootstrap", "make the system below the base from this host's Debian packages instead of pulling it")
    .option("--no-cache", "build anew, without the engine's build cache")
    .option("--json", "as JSON")
    .action(async (names: string[], flags: BuildFlags) => await build(names.map(parseName), flags));
  addDriverOptions(command.command("list", { isDefault: true }))
    .description("list the images of this data folder, and whether each is current (the default command)")
    .option("--json", "as JSON")
    .action(async (flags: { json?: boolean }) => await list(flags.json ?? false));
  addDriverOptions(command.command("prune"))
    .description("remove images that are not current any more")
    .option("--all", "remove current images too, and what killed builds left in the engine")
    .action(async (flags: { all?: boolean }) => await prune(flags.all ?? false));
  addDriverOptions(command.command("context"))
    .description("write the build context of an image, for people who build with their own tools")
    .argument("<type>", NAMES.join(", "))
    .argument("<dir>", "an empty folder, made if need be")
    .action(async (name: string, folder: string) => await writeContext(parseName(name), folder));
  return command;
}

function parseName(name: string): Name {
  const type = name === "base" ? name : parseNodeType(name);
  if (type !== undefined) return type;
  throw new PaddockError("invalid_request", `there is no image ${name}`, { hint: `One of ${NAMES.join(", ")}.` });
}

/** Only one driver has images, so it is chosen unasked; one that was asked for is tried. */
async function openImages(): Promise<{ app: App; images: ImageStore }> {
  process.env["PADDOCK_DRIVER"] ??= "docker";
  const app = await createApp();
  if (app.fleet.images !== undefined) return { app, images: app.fleet.images };
  await app[Symbol.asyncDispose]();
  throw new PaddockError(
    "unsupported",
    `nodes of the ${app.driver.name} driver start from templates, not from images`,
    {
      hint: "Use `paddock templates`, or --driver docker.",
    },
  );
}

async function build(names: readonly Name[], flags: BuildFlags): Promise<void> {
  using interrupts = catchInterrupts();
  const begun = performance.now();
  const { app, images } = await openImages();
  await using _app = app;
  await app.fleet.start();
  const progress = new ProgressLine();
  const built = [];
  for (const name of names.length > 0 ? names : NAMES) {
    const image = await images.build(name, {
      signal: interrupts.signal,
      bootstrap: flags.bootstrap ?? false,
      noCache: !flags.cache,
      onProgress: (line) => progress.update(printable(`${name}: ${line}`)),
    });
    progress.clear();
    built.push(image);
    say(`${name}: ${shortId(image.id)}, ${formatBytes(image.bytes)}`);
  }
  if (flags.json) process.stdout.write(`${JSON.stringify(built, null, 2)}\n`);
  else say(`${built.length} images in ${formatMs(performance.now() - begun)}; they share the base's layers`);
}

async function list(json: boolean): Promise<void> {
  const { app, images } = await openImages();
  await using _app = app;
  const listed = await images.list();
  if (json) {
    process.stdout.write(`${JSON.stringify(listed, null, 2)}\n`);
    return;
  }
  if (listed.length === 0) {
    say("no images yet; `paddock images build` makes them");
    return;
  }
  const rows = listed.map(({ image, state }) => [
    image.name,
    shortId(image.id),
    formatBytes(image.bytes),
    formatMs(image.build_ms),
    image.built.slice(0, 19),
    state,
  ]);
  const columns = ["image", "id", "size", "built in", "built (UTC)", "state"].map((title) => ({ title }));
  process.stdout.write(`${renderTable(columns, rows)}\n`);
}

async function prune(all: boolean): Promise<void> {
  using interrupts = catchInterrupts();
  const { app, images } = await openImages();
  await using _app = app;
  const { removed, inUse } = await images.prune({ all, signal: interrupts.signal });
  say(`removed ${removed.length}${inUse.length > 0 ? `, in use ${inUse.length}` : ""}`);
  for (const { id, reason } of inUse) say(`${shortId(id)}: ${oneLine(reason)}`);
}

async function writeContext(name: Name, folder: string): Promise<void> {
  const { app, images } = await openImages();
  await using _app = app;
  await images.writeContext(name, folder);
  say(`wrote ${folder}; build it with: docker build -t paddock/${name} ${folder}`);
}

const shortId = (id: string): string => id.replace(/^sha256:/, "").slice(0, 12);
