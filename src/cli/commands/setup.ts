import { Command } from "commander";
import { PaddockError } from "../../errors/error.ts";
import { NODE_TYPES, parseNodeType } from "../../model/node-type.ts";
import { loadPlan } from "../../setup/plans.ts";
import { generateSetupCode } from "../../setup/setup-code.ts";

export function setupCommand(): Command {
  return new Command("setup")
    .description("print the setup code (bash) of a node type")
    .argument("<type>", NODE_TYPES.join(", "))
    .option("--env-dir <path>", "where the environment goes unless ENV_DIR is set")
    .option("--json", "print the setup plan instead")
    .action(async (name: string, options: { envDir?: string; json?: boolean }) => {
      const type = parseNodeType(name);
      if (type === undefined)
        throw new PaddockError("invalid_request", `unknown node type ${name}`, {
          hint: `One of ${NODE_TYPES.join(", ")}.`,
        });
      const plan = await loadPlan(type);
      const text = options.json
        ? `${JSON.stringify(plan, null, 2)}\n`
        : generateSetupCode(plan, options.envDir === undefined ? {} : { envDir: options.envDir });
      process.stdout.write(text);
    });
}
