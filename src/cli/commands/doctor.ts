import { Command } from "commander";
import { createApp } from "../../app.ts";
import type { ProbeFinding } from "../../index.ts";
import { oneLine } from "../render/escape.ts";
import { style } from "../render/terminal.ts";
import { addDriverOptions } from "../request/driver-options.ts";

const MARKS = { ok: "ok", warning: "warning", failed: "FAILED" } as const;
const STYLES = { ok: "green", warning: "yellow", failed: "red" } as const;

export function doctorCommand(): Command {
  return addDriverOptions(new Command("doctor"))
    .description("probe every mechanism that isolation needs, by using it")
    .option("--json", "as JSON")
    .action(async (options: { json?: boolean }) => {
      await using app = await createApp();
      const findings = await app.fleet.probe();
      const failed = findings.some((finding) => finding.status === "failed");
      if (options.json)
        process.stdout.write(`${JSON.stringify({ driver: app.driver.name, usable: !failed, findings }, null, 2)}\n`);
      else process.stdout.write(`${findings.map(renderFinding).join("\n")}\n\n${verdict(app.driver.name, failed)}\n`);
      process.exitCode = failed ? 69 : 0;
    });
}

function renderFinding({ status, name, detail, hint }: ProbeFinding): string {
  const line = `${style(STYLES[status], MARKS[status].padEnd(8), process.stdout)} ${name.padEnd(24)} ${oneLine(detail)}`;
  return hint === undefined
    ? line
    : `${line}\n${" ".repeat(9)}${style("dim", hint.replaceAll("\n", `\n${" ".repeat(9)}`), process.stdout)}`;
}

function verdict(driver: string, failed: boolean): string {
  return failed
    ? `The ${driver} driver is refused: a mechanism it needs is missing. Nothing runs in a weaker mode by itself.`
    : `The ${driver} driver is ready.`;
}
