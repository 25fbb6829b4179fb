import type { ImportRules } from "./import-rules.ts";

const BEGIN = "<!-- rooms: made from deps.json by `node scripts/check-imports.ts --write` -->\n";
const END = "<!-- end of rooms -->\n";

/** The document with the table of rooms in its place. Throws when it has no place for one. */
export function placeRoomTable(document: string, rules: ImportRules): string {
  const [start, end] = [document.indexOf(BEGIN), document.indexOf(END)];
  if (start < 0 || end < start) throw new Error(`no place for the table of rooms: ${BEGIN.trim()}`);
  return document.slice(0, start + BEGIN.length) + renderRoomTable(rules) + document.slice(end);
}

function renderRoomTable({ rooms }: ImportRules): string {
  const rows = Object.entries(rooms).map(([name, { may, holds }]) => {
    const isInner = name.includes("/");
    const cell = isInner ? (may.length > 0 ? `… and ${may.join(", ")}` : "…") : may.join(", ") || "nothing";
    return `| ${isInner ? "· " : ""}\`${name}\` | ${holds} | ${cell} |\n`;
  });
  return `| room | what it holds | may import |\n|---|---|---|\n${rows.join("")}`;
}
