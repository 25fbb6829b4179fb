import type { z } from "zod";
import { PaddockError } from "../errors/error.ts";

/**
 * Input that fits its schema; else `invalid_request` with whose input it is, the field and the rule it breaks. Default
 * hint: the code's.
 */
export function checkInput<Parsed>(schema: z.ZodType<Parsed>, input: unknown, owner: string, hint?: string): Parsed {
  const parsed = schema.safeParse(input);
  if (parsed.success) return parsed.data;
  const { field, rule } = describeIssue(parsed.error);
  const shown = field === "" ? rule : `${field}: ${rule}`;
  throw new PaddockError("invalid_request", `${owner}: ${shown}`, {
    context: { owner, field, rule },
    ...(hint === undefined ? {} : { hint }),
  });
}

function describeIssue(error: z.ZodError): { readonly field: string; readonly rule: string } {
  const issue = error.issues[0];
  const { path, message } = issue === undefined ? { path: [], message: "does not fit" } : mostExact(issue);
  const field = path
    .map((part, index) => (typeof part === "number" ? `[${part}]` : `${index === 0 ? "" : "."}${String(part)}`))
    .join("");
  return { field, rule: message };
}

/** Of the shapes a field may have, the one that the input comes closest to says what is wrong. */
function mostExact(issue: z.core.$ZodIssue): { readonly path: readonly PropertyKey[]; readonly message: string } {
  if (issue.code !== "invalid_union") return issue;
  const [closest] = issue.errors
    .flatMap(([first]) => (first === undefined ? [] : [mostExact(first)]))
    .toSorted((one, other) => other.path.length - one.path.length);
  if (closest === undefined || closest.path.length === 0) return issue;
  return { path: [...issue.path, ...closest.path], message: closest.message };
}
