import { PaddockError } from "../errors/error.ts";
import { deleteFile } from "./delete-file.ts";
import { downloadFile } from "./download-file.ts";
import { httpRequest } from "./http-request.ts";
import { installPackages } from "./install-packages.ts";
import { listFiles } from "./list-files.ts";
import { readCsv } from "./read-csv.ts";
import { readFile } from "./read-file.ts";
import { runJavascript, runPython } from "./run-code.ts";
import { runCommand } from "./run-command.ts";
import { s3Get } from "./s3-get.ts";
import { s3Put } from "./s3-put.ts";
import type { Tool } from "./tool.ts";
import { writeFile } from "./write-file.ts";

/** Every tool there is. Listings, schemas and docs/tools.md are derived from it. */
export const TOOLS: readonly Tool[] = [
  writeFile,
  readFile,
  listFiles,
  deleteFile,
  runCommand,
  runPython,
  runJavascript,
  installPackages,
  httpRequest,
  downloadFile,
  s3Get,
  s3Put,
  readCsv,
];

export function findTool(name: string): Tool | undefined {
  return TOOLS.find((tool) => tool.name === name);
}

/** Throws `invalid_request` for a name that no tool has. */
export function getTool(name: string): Tool {
  const tool = findTool(name);
  if (tool === undefined) throw new PaddockError("invalid_request", `unknown tool ${name}`);
  return tool;
}
