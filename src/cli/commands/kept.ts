import { Command } from "commander";
import { loadConfig } from "../../config/config.ts";
import type { Home } from "../../config/home.ts";
import { PaddockError } from "../../errors/error.ts";
import type { ProcessListing, UsageSample } from "../../internal.ts";
import { findKept, KeeperCall, listKept } from "../../keeper/client.ts";
import type { KeeperCard } from "../../keeper/protocol.ts";
import { formatBytes } from "../../report/format.ts";
import { GuestOutput } from "../guest-output.ts";
import { printable, renderTable } from "../table.ts";
import { say } from "../terminal.ts";

/** What a keeper says of its sandbox; only the card where it does not answer. */
interface Status {
  readonly card: KeeperCard;
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
      const { run } = home();
      const statuses = await Promise.all(listKept(run).map((card) => askStatus(run, card)));
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
  const rows = statuses.map(({ card, usage, processes }) => [
    card.sandbox_id,
    card.node_type,
    card.created.slice(0, 19),
    card.expires.slice(0, 19),
    usage?.memoryBytes === undefined ? "" : formatBytes(usage.memoryBytes),
    processes === undefined
      ? "does not answer"
      : processes
          .filter(({ running }) => running)
          .map(oneProcess)
          .join("; "),
  ]);
  const columns = ["sandbox", "type", "created (UTC)", "ends (UTC)", "memory", "processes"].map((title) => ({ title }));
  return renderTable(columns, rows);
}

const oneProcess = ({ pid, argv }: ProcessListing): string => `${pid} ${printable(argv.join(" ").slice(0, 60))}`;

export function killCommand(): Command {
  return new Command("kill")
    .description("end kept sandboxes")
    .argument("[sandbox...]", "ids or the beginnings of them")
    .option("--all", "every kept sandbox")
    .action(async (names: string[], options: { all?: boolean }) => {
      const { run } = home();
      if (names.length === 0 && !options.all)
        throw new PaddockError("invalid_request", "no sandbox is named", { hint: "Give ids, or --all." });
      const cards = options.all ? listKept(run) : names.map((name) => findKept(run, name));
      for (const card of cards) {
        await new KeeperCall(run, card.sandbox_id, { op: "kill" }).done;
        say(`ended ${card.sandbox_id}`);
      }
    });
}

export function logsCommand(): Command {
  return new Command("logs")
    .description("the last MiB of output of a kept sandbox")
    .argument("<sandbox>", "id or the beginning of it")
    .action(async (name: string) => {
      const { run } = home();
      const card = findKept(run, name);
      const guest = new GuestOutput();
      await new KeeperCall(
        run,
        card.sandbox_id,
        { op: "logs" },
        { stdout: (chunk) => guest.write(process.stdout, chunk) },
      ).done;
    });
}
