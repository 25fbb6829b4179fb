import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { reportFailure } from "./render/failure.ts";
import { outputLost, watchOutput } from "./render/output-loss.ts";
import { chooseDriver } from "./request/driver-options.ts";

const EXIT_USAGE = 64;

/** In the order of the help. A command's modules are loaded when it is asked for. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  run: async () => (await import("./commands/run.ts")).runCommand(),
  serve: async () => (await import("./commands/serve.ts")).serveCommand(),
  exec: async () => (await import("./commands/exec.ts")).execCommand(),
  ps: async () => (await import("./commands/kept.ts")).psCommand(),
  kill: async () => (await import("./commands/kept.ts")).killCommand(),
  logs: async () => (await import("./commands/kept.ts")).logsCommand(),
  doctor: async () => (await import("./commands/doctor.ts")).doctorCommand(),
  compare: async () => (await import("./commands/compare.ts")).compareCommand(),
  bench: async () => (await import("./commands/bench.ts")).benchCommand(),
  setup: async () => (await import("./commands/setup.ts")).setupCommand(),
  templates: async () => (await import("./commands/templates.ts")).templatesCommand(),
  images: async () => (await import("./commands/images.ts")).imagesCommand(),
};

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

const name = process.argv[2] ?? "";
if (name === "keeper") program.addCommand((await import("./commands/keeper.ts")).keeperCommand(), { hidden: true });
else for (const make of chooseCommands(name)) program.addCommand(await make());
shareSettings(program);
watchOutput();

try {
  leaveNpmFolder();
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : EXIT_USAGE;
  else if (!outputLost.aborted) process.exitCode = reportFailure(error, json);
}

/** The command of this name; all of them for the help, and to suggest one for a name that is none. */
function chooseCommands(name: string): readonly (() => Promise<Command>)[] {
  const named = Object.entries(COMMANDS).filter(([known]) => known === name);
  return (named.length > 0 ? named : Object.entries(COMMANDS)).map(([, make]) => make);
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
