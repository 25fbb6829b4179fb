import { z } from "zod";
import { ifFound } from "../errors/not-found.ts";
import { pathField } from "./fields.ts";
import { doneOutcome, withinDeadline } from "./outcome.ts";
import { defineTool } from "./tool.ts";

const input = z.strictObject({
  path: pathField.describe("File or folder to delete, relative to the workspace or absolute."),
  recursive: z.boolean().optional().describe("Delete a folder with everything in it. Default: false."),
  missing_ok: z.boolean().optional().describe("Succeed when there is nothing to delete. Default: false."),
});

export const deleteFile = defineTool({
  name: "delete_file",
  title: "Delete a file",
  description: "Deletes a file or a folder. Runs again after a failure only with `missing_ok`.",
  category: "file",
  input,
  idempotency: ({ missing_ok }) => (missing_ok ? "idempotent" : "once"),
  command: ({ path }) => ["delete_file", path],
  run: (request, context) =>
    withinDeadline(context, async () => {
      const options = { callId: context.callId, recursive: request.recursive ?? false };
      const removal = context.target.files.remove(request.path, options);
      const removed = request.missing_ok ? ((await ifFound(removal)) ?? 0) : await removal;
      return doneOutcome({ value: { path: request.path, removed } });
    }),
});
