import { z } from "zod";
import { textField } from "../model/fields.ts";
import { KIB, MIB } from "../model/units.ts";
import { cwdField, environmentField } from "./fields.ts";
import { processOutcome, runOptions } from "./outcome.ts";
import { defineTool, type ToolContext, type ToolOutcome } from "./tool.ts";

const word = textField(128 * KIB).refine((text) => !text.includes("\0"), "must not contain a NUL character");

const input = z
  .strictObject({
    command: z
      .union([word.min(1), z.array(word).min(1).max(4096)])
      .describe("A bash script as text, or a program with its arguments as a list (no shell)."),
    cwd: cwdField.optional(),
    env: environmentField.optional(),
    stdin: textField(16 * MIB)
      .optional()
      .describe("Text for standard input. Default: none."),
    background: z
      .boolean()
      .optional()
      .describe("Leave it running after the call; the value is its `pid`. It ends with the sandbox. Default: false."),
  })
  .refine(({ background, stdin }) => !background || stdin === undefined, {
    path: ["stdin"],
    error: "cannot be given to a background command",
  });

type Input = z.infer<typeof input>;

export const runCommand = defineTool({
  name: "run_command",
  title: "Run a command",
  description: "Runs a bash script or a program. Never runs again by itself.",
  category: "subprocess",
  input,
  idempotency: () => "once",
  command: (request) => makeArgv(request.command),
  run: async (request, context) => {
    if (request.background) return await startInBackground(request, context);
    return processOutcome(await context.target.runProcess(processOptions(request, context), request.stdin));
  },
});

export function makeArgv(command: string | readonly string[]): readonly string[] {
  return typeof command === "string" ? ["/bin/bash", "-c", command] : command;
}

async function startInBackground(request: Input, context: ToolContext): Promise<ToolOutcome> {
  const running = await context.target.startProcess({ ...processOptions(request, context), background: true });
  const outcome = processOutcome(await running.done);
  // Its exit is still to come; that it was started is what was asked.
  return outcome.ended === "exit"
    ? { ...outcome, exitCode: outcome.exitCode ?? 0, value: { pid: running.pid } }
    : outcome;
}

function processOptions(request: Input, context: ToolContext) {
  return {
    ...runOptions(context),
    argv: makeArgv(request.command),
    ...(request.cwd === undefined ? {} : { cwd: request.cwd }),
    ...(request.env === undefined ? {} : { env: request.env }),
  };
}
