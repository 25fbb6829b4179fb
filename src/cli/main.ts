import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { benchCommand } from "./commands/bench.ts";
import { compareCommand } from "./commands/compare.ts";
import { doctorCommand } from "./commands/doctor.ts";
import { execCommand } from "./commands/exec.ts";
import { imagesCommand } from "./commands/images.ts";
import { keeperCommand } from "./commands/keeper.ts";
import { killCommand, logsCommand, psCommand } from "./commands/kept.ts";
import { runCommand } from "./commands/run.ts";
import { serveCommand } from "./commands/serve.ts";
import { setupCommand } from "./commands/setup.ts";
import { templatesCommand } from "./commands/templates.ts";
import { reportFailure } from "./render/failure.ts";
import { outputLost, watchOutput } from "./render/output-loss.ts";
import { chooseDriver } from "./request/driver-options.ts";

const EXIT_USAGE = 64;

let json = false;
const program = new Command("paddock")
  .description("Run code nobody has read in a sandbox, with an exact account of every tool call.")
  .version(readVersion())
  .showHelpAfterError("(run with --help for usage)")
  .enablePositionalOptions()
  .exitOverride()
  .hook("preAction", (_program, command) => {
    json = command.opts()["json"] === true;
    chooseDriver(command);
  });

for (const make of [
  runCommand,
  serveCommand,
  execCommand,
  psCommand,
  killCommand,
  logsCommand,
  doctorCommand,
  compareCommand,
  benchCommand,
  setupCommand,
  templatesCommand,
  imagesCommand,
]) {
  program.addCommand(make());
}
program.addCommand(keeperCommand(), { hidden: true });
shareSettings(program);
watchOutput();

try {
  leaveNpmFolder();
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : EXIT_USAGE;
  else if (!outputLost.aborted) process.exitCode = reportFailure(error, json);
}

/** Commands that were made on their own do not inherit how errors are shown and that they never exit by themselves. */
function shareSettings(parent: Command): void {
  for (const command of parent.commands) {
    command.copyInheritedSettings(parent);
    shareSettings(command);
  }
}

/** `npm run paddock` starts us in the package's folder; paths on the command line mean the caller's. */
function leaveNpmFolder(): void {
  const { npm_lifecycle_event: script, INIT_CWD: caller } = process.env;
  if (script === "paddock" && caller !== undefined) process.chdir(caller);
}

function readVersion(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}
