import { z } from "zod";

interface Field {
  readonly description?: string;
  readonly type?: string;
  readonly enum?: readonly string[];
  readonly anyOf?: readonly Field[];
  readonly items?: Field;
  readonly properties?: Readonly<Record<string, Field>>;
  readonly additionalProperties?: Field | boolean;
  readonly default?: unknown;
  readonly required?: readonly string[];
}

/** A Markdown table of an input schema's fields; members of nested objects follow as `field.member`. */
export function renderFields(schema: z.ZodType): string {
  const root = z.toJSONSchema(schema, { io: "input" }) as Field;
  return ["| field | type | | what |", "|---|---|---|---|", ...renderRows(root, "")].join("\n");
}

function renderRows(object: Field, prefix: string): string[] {
  return Object.entries(object.properties ?? {}).flatMap(([name, field]) => {
    const needed = object.required?.includes(name) ? "required" : "";
    const shown =
      field.default === undefined ? "" : ` Default: \`${JSON.stringify(field.default).replaceAll('"', "")}\`.`;
    const what = `${field.description ?? ""}${shown}`.replaceAll("|", "\\|");
    return [
      `| \`${prefix}${name}\` | ${typeOf(field)} | ${needed} | ${what} |`,
      ...renderRows(field, `${prefix}${name}.`),
    ];
  });
}

function typeOf(field: Field): string {
  if (field.enum !== undefined) return field.enum.map((value) => `\`${value}\``).join(", ");
  if (field.anyOf !== undefined) return field.anyOf.map(typeOf).join(" or ");
  if (field.type === "array") return `list of ${typeOf(field.items ?? {})}`;
  if (field.type === "object" && field.properties === undefined) {
    const value = typeof field.additionalProperties === "object" ? typeOf(field.additionalProperties) : "";
    return value === "" ? "object" : `object of ${value}`;
  }
  return field.type ?? "any";
}
