import { Command } from "commander";
import { createApp } from "../../app.ts";
import { PaddockError } from "../../errors/error.ts";
import { NODE_TYPES, type NodeType, parseNodeType } from "../../model/node-type.ts";
import { formatBytes, formatMs } from "../../report/format.ts";
import { catchInterrupts } from "../process/signals.ts";
import { printable } from "../render/escape.ts";
import { renderTable } from "../render/table.ts";
import { ProgressLine, say } from "../render/terminal.ts";

export function templatesCommand(): Command {
  const command = new Command("templates").description(
    "build, list and prune the environments that sandboxes start from",
  );
  command
    .command("build")
    .description("build templates, each unless it is current")
    .argument("[type...]", `${NODE_TYPES.join(", ")} (default: all)`)
    .action(async (names: string[]) => await build(names.length > 0 ? names.map(nodeType) : NODE_TYPES));
  command
    .command("list", { isDefault: true })
    .description("list templates, and whether each is current (the default command)")
    .option("--json", "as JSON")
    .action(async (options: { json?: boolean }) => await list(options.json ?? false));
  command
    .command("prune")
    .description("remove templates that no plan names any more, unfinished builds and download caches")
    .option("--all", "remove current templates too")
    .action(async (options: { all?: boolean }) => await prune(options.all ?? false));
  return command;
}

function nodeType(name: string): NodeType {
  const type = parseNodeType(name);
  if (type !== undefined) return type;
  throw new PaddockError("invalid_request", `unknown node type ${name}`, { hint: `One of ${NODE_TYPES.join(", ")}.` });
}

async function build(types: readonly NodeType[]): Promise<void> {
  using interrupts = catchInterrupts();
  const progress = new ProgressLine();
  await using app = await createApp();
  await app.fleet.start();
  for (const type of types) {
    const template = await app.fleet.templates.ensure(type, {
      signal: interrupts.signal,
      onProgress: (text) => progress.update(printable(text)),
    });
    progress.clear();
    say(
      template === undefined
        ? `${type}: nothing to build`
        : `${type}: ${template.hash.slice(0, 12)}, ${formatBytes(template.bytes)}`,
    );
  }
}

async function list(json: boolean): Promise<void> {
  await using app = await createApp();
  const templates = await app.fleet.templates.list();
  if (json) {
    process.stdout.write(`${JSON.stringify(templates, null, 2)}\n`);
    return;
  }
  const rows = templates.map(({ manifest, current }) => [
    manifest.node_type,
    manifest.hash.slice(0, 12),
    manifest.content_hash.slice(0, 12),
    formatBytes(manifest.bytes),
    formatMs(manifest.build_ms),
    manifest.created.slice(0, 19),
    current ? "current" : "old",
  ]);
  const columns = ["type", "template", "content", "size", "built in", "created (UTC)", "state"].map((title) => ({
    title,
  }));
  process.stdout.write(`${renderTable(columns, rows)}\n`);
}

async function prune(all: boolean): Promise<void> {
  await using app = await createApp();
  const { removed, inUse } = await app.fleet.templates.prune({ all });
  say(`removed ${removed.length}${inUse.length > 0 ? `, in use ${inUse.length}` : ""}`);
}
