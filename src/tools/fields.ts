import { z } from "zod";
import { ENVIRONMENT_NAME, intField, textField } from "../model/fields.ts";
import { DAY_MS, KIB } from "../model/units.ts";

/** Input fields that several tools share. */

const noNul = (text: string): boolean => !text.includes("\0");

export const pathField = z.string().min(1).max(4096).refine(noNul, "must not contain a NUL character");

export const environmentField = z
  .record(z.string().regex(ENVIRONMENT_NAME, "must be a variable name"), textField(32 * KIB))
  .describe("Environment variables of this call, added to the sandbox's own.");

export const cwdField = pathField.describe("Working folder. Default: the workspace.");

export const timeoutField = intField(1, DAY_MS);

export const encodingField = z.enum(["utf8", "base64"]);

export const sha256Field = z.string().regex(/^[0-9a-fA-F]{64}$/, "must be 64 hex digits");
