import { z } from "zod";
import { textField } from "../model/fields.ts";
import { MIB } from "../model/units.ts";
import { encodingField, pathField } from "./fields.ts";
import { doneOutcome, withinDeadline } from "./outcome.ts";
import { defineTool } from "./tool.ts";

const input = z
  .strictObject({
    path: pathField.describe("File to write, relative to the workspace or absolute. Missing folders are made."),
    content: textField(64 * MIB).describe("The content, in `encoding`."),
    encoding: encodingField.optional().describe("How `content` is written here. Default: `utf8`."),
    mode: z
      .string()
      .regex(/^0?[0-7]{3}$/, "must be three octal digits, such as 644")
      .optional()
      .describe("Permissions in octal digits. Default: `644`."),
    append: z.boolean().optional().describe("Add to the end instead of replacing. Default: false."),
    exclusive: z.boolean().optional().describe("Fail when the file exists. Default: false."),
  })
  .refine(({ content, encoding }) => encoding !== "base64" || isBase64(content), {
    path: ["content"],
    error: "must be base64",
  });

export const writeFile = defineTool({
  name: "write_file",
  title: "Write a file",
  description: "Writes a file. Runs again after a failure unless it appends or must be the first to write.",
  category: "file",
  input,
  idempotency: ({ append, exclusive }) => (append || exclusive ? "once" : "idempotent"),
  command: ({ path }) => ["write_file", path],
  run: (request, context) =>
    withinDeadline(context, async () => {
      const content = Buffer.from(request.content, request.encoding ?? "utf8");
      const { bytes, sha256, created, transferred } = await context.target.files.write(request.path, content, {
        callId: context.callId,
        mode: Number.parseInt(request.mode ?? "644", 8),
        append: request.append ?? false,
        exclusive: request.exclusive ?? false,
      });
      context.mark("transfer_in");
      return doneOutcome({ value: { path: request.path, bytes, sha256, created }, requestBytes: transferred.sent });
    }),
});

function isBase64(text: string): boolean {
  return text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text);
}
