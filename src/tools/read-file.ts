import { z } from "zod";
import { intField } from "../model/fields.ts";
import { MIB } from "../model/units.ts";
import { pathField } from "./fields.ts";
import { doneOutcome, withinDeadline } from "./outcome.ts";
import { decodeText } from "./text.ts";
import { defineTool } from "./tool.ts";

const input = z.strictObject({
  path: pathField.describe("File to read, relative to the workspace or absolute."),
  encoding: z
    .enum(["auto", "utf8", "base64"])
    .optional()
    .describe("How the content is given: `auto` (default) is text when it is valid UTF-8, else base64."),
  offset: z.int().min(0).optional().describe("First byte to read. Default: 0."),
  max_bytes: intField(1, 16 * MIB)
    .optional()
    .describe("Most bytes to read; `truncated` says when there was more. Default: 1 MiB."),
});

export const readFile = defineTool({
  name: "read_file",
  title: "Read a file",
  description: "Reads a file or a part of it.",
  category: "file",
  input,
  idempotency: () => "idempotent",
  command: ({ path }) => ["read_file", path],
  run: (request, context) =>
    withinDeadline(context, async () => {
      const offset = request.offset ?? 0;
      const length = request.max_bytes ?? MIB;
      const chunks: Buffer[] = [];
      const options = { callId: context.callId, offset, length };
      const read = await context.target.files.readTo(request.path, (chunk) => void chunks.push(chunk), options);
      context.mark("transfer_out");
      const truncated = offset + read.bytes < read.size;
      const text = decodeText(Buffer.concat(chunks), request.encoding ?? "auto", truncated);
      return doneOutcome({
        value: { path: request.path, ...text, size: read.size, bytes: read.bytes, truncated },
        responseBytes: read.transferred.received,
      });
    }),
});
