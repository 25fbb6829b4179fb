import { z } from "zod";
import { intField } from "../model/fields.ts";
import { pathField } from "./fields.ts";
import { doneOutcome, withinDeadline } from "./outcome.ts";
import { defineTool } from "./tool.ts";

const input = z.strictObject({
  path: pathField.optional().describe("Folder to list. Default: the workspace."),
  depth: intField(1, 32).optional().describe("Levels to go down. Default: 1."),
  limit: intField(1, 10_000).optional().describe("Most entries; `truncated` says when there were more. Default: 1000."),
});

export const listFiles = defineTool({
  name: "list_files",
  title: "List files",
  description: "Lists the entries of a folder with type, size, permissions and time of change.",
  category: "file",
  input,
  idempotency: () => "idempotent",
  command: ({ path }) => ["list_files", path ?? "."],
  run: (request, context) =>
    withinDeadline(context, async () => {
      const options = { callId: context.callId, depth: request.depth ?? 1, limit: request.limit ?? 1000 };
      const { entries, truncated } = await context.target.files.list(request.path ?? ".", options);
      context.mark("transfer_out");
      return doneOutcome({ value: { entries, truncated } });
    }),
});
