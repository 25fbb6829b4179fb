import { z } from "zod";
import { intField } from "../model/fields.ts";
import { CsvCollector } from "./csv.ts";
import { pathField } from "./fields.ts";
import { doneOutcome, withinDeadline } from "./outcome.ts";
import { defineTool, type ToolContext, type ToolOutcome } from "./tool.ts";

/** Read in parts of this size, so that reading ends soon after the last row that is wanted. */
const PART_BYTES = 1024 * 1024;

const input = z.strictObject({
  path: pathField.describe("CSV file with a header line, relative to the workspace or absolute."),
  delimiter: z.string().min(1).max(4).optional().describe("Between cells. Default: `,`."),
  limit: intField(1, 10_000).optional().describe("Most rows; `truncated` says when there were more. Default: 100."),
  columns: z
    .array(z.string().max(1024))
    .min(1)
    .max(1000)
    .optional()
    .describe("Only these columns, in this order. Default: all."),
  types: z
    .boolean()
    .optional()
    .describe("Give numbers, true, false and empty cells as JSON values. Default: false, all cells are text."),
});

type Input = z.infer<typeof input>;

export const readCsv = defineTool({
  name: "read_csv",
  title: "Read a CSV file",
  description: "Reads the first rows of a CSV file as `columns` and `rows`. A malformed file fails with the line.",
  category: "file",
  input,
  idempotency: () => "idempotent",
  command: ({ path }) => ["read_csv", path],
  run: (request, context) => withinDeadline(context, (signal) => readTable(request, context, signal)),
});

async function readTable(request: Input, context: ToolContext, signal: AbortSignal): Promise<ToolOutcome> {
  const collector = new CsvCollector({
    limit: request.limit ?? 100,
    types: request.types ?? false,
    ...(request.delimiter === undefined ? {} : { delimiter: request.delimiter }),
    ...(request.columns === undefined ? {} : { columns: request.columns }),
  });
  let offset = 0;
  for (let more = true; more && !collector.full && !signal.aborted; ) {
    const options = { callId: context.callId, offset, length: PART_BYTES };
    const part = await context.target.files.readTo(request.path, (chunk) => collector.push(chunk), options);
    offset += part.bytes;
    more = part.bytes > 0 && offset < part.size;
  }
  context.mark("transfer_out");
  return doneOutcome({ value: await collector.finish(), responseBytes: offset });
}
