import { Command, CommanderError } from "commander";
import { doctorCommand } from "./commands/doctor.ts";
import { execCommand } from "./commands/exec.ts";
import { keeperCommand } from "./commands/keeper.ts";
import { killCommand, logsCommand, psCommand } from "./commands/kept.ts";
import { runCommand } from "./commands/run.ts";
import { setupCommand } from "./commands/setup.ts";
import { templatesCommand } from "./commands/templates.ts";
import { reportFailure } from "./failure.ts";

const program = new Command("paddock")
  .description("Run code nobody has read in a sandbox, with an exact account of every tool call.")
  .version("0.1.0")
  .showHelpAfterError("(run with --help for usage)")
  .enablePositionalOptions()
  .exitOverride();

for (const make of [
  runCommand,
  execCommand,
  psCommand,
  killCommand,
  logsCommand,
  doctorCommand,
  setupCommand,
  templatesCommand,
]) {
  program.addCommand(make());
}
program.addCommand(keeperCommand(), { hidden: true });

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 64;
  else process.exitCode = reportFailure(error, process.argv.includes("--json"));
}
