import { type Command, Option } from "commander";
import { DRIVERS } from "../../config/config.ts";

/** Adds `--driver` and `--runtime`, which win over environment and `config.json`. */
export function addDriverOptions(command: Command): Command {
  return command
    .addOption(new Option("--driver <name>", "how sandboxes are made").choices(DRIVERS))
    .option("--runtime <name>", "runtime of the container engine: runc, runsc (with --driver docker)");
}

/** Hands the choice on as environment, so that a keeper started by the command inherits it. */
export function chooseDriver(command: Command): void {
  const { driver, runtime } = command.opts<{ driver?: string; runtime?: string }>();
  if (driver !== undefined) process.env["PADDOCK_DRIVER"] = driver;
  if (runtime !== undefined) process.env["PADDOCK_RUNTIME"] = runtime;
}
