import { Command } from "commander";
import { createApp } from "../../app.ts";
import { toPaddockError } from "../../errors/error.ts";
import { compileLimits } from "../../executor/compile.ts";
import { planTask } from "../../executor/planner.ts";
import { WorkspaceFolder } from "../../fleet/workspace-folder.ts";
import { type KeeperLine, KeeperStart } from "../../keeper/protocol.ts";
import { KeeperServer } from "../../keeper/server.ts";

/** The detached owner of a kept sandbox; started by `paddock run --keep`, never by people. */
export function keeperCommand(): Command {
  return new Command("keeper").description("own a kept sandbox").action(async () => {
    const start = KeeperStart.parse(JSON.parse(await readStdin()));
    process.on("SIGHUP", () => undefined);
    await keep(start);
  });
}

async function keep(start: KeeperStart): Promise<void> {
  const stop = new AbortController();
  process.once("SIGTERM", () => stop.abort());
  process.stdout.on("error", () => undefined);
  await using app = await createApp();
  try {
    const plan = planTask(start.task);
    await using lease = await app.fleet.lease({
      nodeType: plan.nodeType,
      limits: compileLimits(start.task.limits),
      network: start.task.network ?? plan.network,
      env: start.task.env ?? {},
      bare: start.task.bare ?? plan.bare,
      signal: stop.signal,
      onProgress: (progress) => tell({ progress }),
    });
    if (start.workspace !== undefined) await new WorkspaceFolder(app.fleet, start.workspace).copyIn(lease, stop.signal);
    const server = new KeeperServer(app, lease, start.ttl_ms);
    await server.listen(app.config.home.run);
    tell({ ready: lease.sandbox.id });
    await Promise.race([
      server.ended,
      new Promise((resolve) => stop.signal.addEventListener("abort", resolve, { once: true })),
    ]);
    server.close();
  } catch (error) {
    const { code, message, hint } = toPaddockError(error);
    tell({ error: { code, message, hint } });
  }
  process.exitCode = 0;
  setImmediate(() => process.exit());
}

function tell(line: KeeperLine): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

async function readStdin(): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}
