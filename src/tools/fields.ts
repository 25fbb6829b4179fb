import { z } from "zod";

/** Input fields that several tools share. */

const noNul = (text: string): boolean => !text.includes("\0");

export const pathField = z.string().min(1).max(4096).refine(noNul, "must not contain a NUL character");

export const environmentField = z
  .record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, "must be a variable name"), z.string().max(32 * 1024))
  .describe("Environment variables of this call, added to the sandbox's own.");

export const cwdField = pathField.describe("Working folder. Default: the workspace.");

const MAX_TIMEOUT_MS = 24 * 60 * 60 * 1000;

export const timeoutField = z.int().min(1).max(MAX_TIMEOUT_MS);

export const encodingField = z.enum(["utf8", "base64"]);
