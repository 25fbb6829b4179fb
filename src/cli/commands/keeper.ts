import { Command } from "commander";
import { keepSandbox } from "../../keeper/keep.ts";
import { KeeperStart } from "../../keeper/protocol.ts";

/** The detached owner of a kept sandbox; started by `paddock run --keep`, never by people. */
export function keeperCommand(): Command {
  return new Command("keeper").description("own a kept sandbox").action(async () => {
    const start = KeeperStart.parse(JSON.parse(await readStdin()));
    const stop = new AbortController();
    process.once("SIGTERM", () => stop.abort());
    // The terminal and the pipe of whoever asked may go away; the sandbox stays.
    process.on("SIGHUP", () => undefined);
    process.on("SIGINT", () => undefined);
    process.stdout.on("error", () => undefined);
    await keepSandbox(start, (line) => void process.stdout.write(`${JSON.stringify(line)}\n`), stop.signal);
    process.exit(0);
  });
}

async function readStdin(): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}
