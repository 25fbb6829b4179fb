import { Command } from "commander";
import { keepSandbox } from "../../keeper/main.ts";
import { type KeeperLine, KeeperStart } from "../../keeper/protocol.ts";

/** The detached owner of a kept sandbox; started by `paddock run --keep`, never by people. */
export function keeperCommand(): Command {
  return new Command("keeper").description("own a kept sandbox").action(async () => {
    const start = KeeperStart.parse(JSON.parse(await readStdin()));
    const stop = new AbortController();
    process.once("SIGTERM", () => stop.abort());
    // The terminal and the pipe of whoever asked may go away; the sandbox stays.
    process.on("SIGHUP", () => undefined);
    process.on("SIGINT", () => undefined);
    await keepSandbox(start, tell, stop.signal);
    process.exit(0);
  });
}

/** To whoever asked, while they listen; errors to the keepers' log as well. */
function tell(line: KeeperLine): void {
  const text = `${JSON.stringify(line)}\n`;
  process.stdout.write(text);
  if ("error" in line) process.stderr.write(`${new Date().toISOString()} ${process.pid} ${text}`);
}

async function readStdin(): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}
