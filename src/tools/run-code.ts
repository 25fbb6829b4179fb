import { z } from "zod";
import { textField } from "../model/fields.ts";
import { MIB } from "../model/units.ts";
import { environmentField } from "./fields.ts";
import { codeOutcome, runOptions } from "./outcome.ts";
import { defineTool, type Tool } from "./tool.ts";

const input = z.strictObject({
  code: textField(4 * MIB).describe("The program. The value of its last expression is the call's value."),
  context: z
    .string()
    .regex(/^[A-Za-z0-9_.-]{1,64}$/, "must be 1 to 64 letters, digits, `_`, `.` or `-`")
    .optional()
    .describe("Keeps variables between runs under this name, as a notebook does. Default: fresh globals."),
  file: z
    .string()
    .regex(/^[^\0/]{1,255}$/, "must be a file name")
    .optional()
    .describe("Name shown in tracebacks. Default: `main.py` or `main.js`."),
  env: environmentField.optional(),
});

export const runPython = defineCodeTool({
  name: "run_python",
  title: "Run Python",
  description:
    "Runs Python in the node's warm interpreter. Packages that install_packages put into the workspace can be imported. Never runs again by itself.",
  language: "python",
  file: "main.py",
});

export const runJavascript = defineCodeTool({
  name: "run_javascript",
  title: "Run JavaScript",
  description: "Runs JavaScript in a Node process of its own. Never runs again by itself.",
  language: "javascript",
  file: "main.js",
});

function defineCodeTool(parts: {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly language: "python" | "javascript";
  readonly file: string;
}): Tool {
  const { language, file, ...names } = parts;
  return defineTool<z.infer<typeof input>>({
    ...names,
    category: "subprocess",
    input,
    idempotency: () => "once",
    command: (request) => [language === "python" ? "python" : "node", request.file ?? file],
    run: async ({ code, context: name, env, file: shown }, context) =>
      codeOutcome(
        await context.target.runCode({
          ...runOptions(context),
          language,
          code,
          file: shown ?? file,
          ...(name === undefined ? {} : { context: name }),
          ...(env === undefined ? {} : { env }),
        }),
      ),
  });
}
