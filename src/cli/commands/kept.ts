import { existsSync } from "node:fs";
import { join } from "node:path";
import { Command } from "commander";
import { loadConfig } from "../../config/config.ts";
import type { Home } from "../../config/home.ts";
import { PaddockError } from "../../errors/error.ts";
import { KeeperCall, listKept } from "../../keeper/client.ts";
import { listOrphans, reachKept } from "../../keeper/orphans.ts";
import type { KeeperCard } from "../../keeper/protocol.ts";
import type { Isolation } from "../../model/isolation.ts";
import { formatBytes } from "../../report/format.ts";
import type { ProcessListing } from "../../sandbox/channel/messages.ts";
import type { UsageSample } from "../../sandbox/host.ts";
import { entryPoint } from "../process/entry.ts";
import { oneLine } from "../render/escape.ts";
import { GuestOutput } from "../render/guest-output.ts";
import { renderTable } from "../render/table.ts";
import { say } from "../render/terminal.ts";

/** What a keeper says of its sandbox; only the card where it does not answer. */
interface Status {
  readonly card: KeeperCard;
  /** Its keeper died; `exec` and `logs` bring it back. */
  readonly orphaned?: true;
  readonly isolation?: Isolation;
  readonly usage?: UsageSample;
  readonly processes?: readonly ProcessListing[];
}

/** A keeper has this long to answer `ps`. */
const STATUS_MS = 3000;

const home = (): Home => loadConfig(process.env, process.getuid?.() ?? 0).home;

export function psCommand(): Command {
  return new Command("ps")
    .description("list kept sandboxes and what runs in them")
    .option("--json", "as JSON")
    .action(async (options: { json?: boolean }) => {
      const folders = home();
      const kept = await Promise.all(listKept(folders.run).map((card) => askStatus(folders.run, card)));
      const statuses = [...kept, ...listOrphans(folders).map((card): Status => ({ card, orphaned: true }))];
      if (options.json) process.stdout.write(`${JSON.stringify(statuses, null, 2)}\n`);
      else process.stdout.write(`${renderStatuses(statuses)}\n`);
    });
}

async function askStatus(run: string, card: KeeperCard): Promise<Status> {
  const call = new KeeperCall(run, card.sandbox_id, { op: "status" });
  const timer = setTimeout(() => call.abandon(), STATUS_MS);
  try {
    return (await call.json()) as Status;
  } catch {
    return { card };
  } finally {
    clearTimeout(timer);
  }
}

function renderStatuses(statuses: readonly Status[]): string {
  const rows = statuses.map((status) => {
    const { card, usage, processes, orphaned } = status;
    return [
      card.sandbox_id,
      card.node_type,
      driverOf(status),
      card.created.slice(0, 19),
      card.expires.slice(0, 19),
      usage?.memoryBytes === undefined ? "" : formatBytes(usage.memoryBytes),
      processes === undefined
        ? orphaned
          ? "orphaned: its keeper died; exec brings it back"
          : "does not answer"
        : processes
            .filter(({ running }) => running)
            .map(oneProcess)
            .join("; "),
    ];
  });
  const columns = ["sandbox", "type", "driver", "created (UTC)", "ends (UTC)", "memory", "processes"].map((title) => ({
    title,
  }));
  return renderTable(columns, rows);
}

/** Driver and runtime as the sandbox has them; of one that does not answer what its keeper was asked for. */
function driverOf({ card, isolation }: Status): string {
  const { PADDOCK_DRIVER: driver = "", PADDOCK_RUNTIME: runtime = "" } = card.driver;
  const parts = isolation === undefined ? [driver, runtime] : [isolation.driver, isolation.runtime];
  return oneLine(parts.filter((part) => part !== "").join(":"));
}

const oneProcess = ({ pid, argv }: ProcessListing): string => `${pid} ${oneLine(argv.join(" ").slice(0, 60))}`;

export function killCommand(): Command {
  return new Command("kill")
    .description("end kept sandboxes")
    .argument("[sandbox...]", "ids or the beginnings of them")
    .option("--all", "every kept sandbox")
    .action(async (names: string[], options: { all?: boolean }) => {
      const folders = home();
      if (names.length === 0 && !options.all)
        throw new PaddockError("invalid_request", "no sandbox is named", { hint: "Give ids, or --all." });
      const all = (): string[] => [...listKept(folders.run), ...listOrphans(folders)].map((card) => card.sandbox_id);
      for (const name of options.all ? all() : names) say(`ended ${await kill(folders, name)}`);
    });
}

/**
 * An orphan gets a keeper that ends it. One that is not fit for that is removed on the way, which is what was asked
 * for.
 */
async function kill(folders: Home, name: string): Promise<string> {
  const isThere = (id: string): boolean => existsSync(join(folders.owners, id));
  const orphan = listOrphans(folders).find((card) => card.sandbox_id.includes(name))?.sandbox_id;
  try {
    const { sandbox_id: id } = await reachKept(folders, entryPoint(), name);
    await new KeeperCall(folders.run, id, { op: "kill" }).done;
    return id;
  } catch (error) {
    if (orphan !== undefined && !isThere(orphan)) return orphan;
    throw error;
  }
}

export function logsCommand(): Command {
  return new Command("logs")
    .description("the last MiB of output of a kept sandbox")
    .argument("<sandbox>", "id or the beginning of it")
    .action(async (name: string) => {
      const folders = home();
      const card = await reachKept(folders, entryPoint(), name);
      const guest = new GuestOutput();
      await new KeeperCall(
        folders.run,
        card.sandbox_id,
        { op: "logs" },
        { stdout: (chunk) => guest.write(process.stdout, chunk) },
      ).done;
    });
}
