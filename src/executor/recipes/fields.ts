import { z } from "zod";

/** A path inside the workspace. */
export const workspacePath = z
  .string()
  .min(1)
  .max(1024)
  .refine(
    (path) => !path.startsWith("/") && !path.includes("\0") && !path.split("/").includes(".."),
    "must be a path inside the workspace, without `..`",
  );

export const columnName = z.string().min(1).max(1024);

export const portNumber = z.int().min(1024).max(65_535);
