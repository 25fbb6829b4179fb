import { PaddockError } from "../../errors/error.ts";

/** What the user wants back by name, as a path below the folder; `.` is all of it. */
export function readAskedPath(path: string): string {
  const names = path.split("/").filter((name) => name !== "" && name !== ".");
  if (path === "" || path.startsWith("/") || names.includes(".."))
    throw new PaddockError("invalid_request", `--copy-back ${path} names nothing in the folder`, {
      hint: "Name a path below the --workspace folder, as the list of withheld files does; . is all of it.",
    });
  return names.length === 0 ? "." : names.join("/");
}
