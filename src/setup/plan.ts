import { z } from "zod";

/** Text that bash can carry: no NUL, and no lone surrogate, which UTF-8 cannot encode. */
const text = (maxLength: number) =>
  z
    .string()
    .max(maxLength)
    .refine((value) => !value.includes("\0"), "must not contain a NUL character")
    .refine((value) => value.isWellFormed(), "must be well-formed Unicode");

const PYTHON_REQUIREMENT =
  /^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?(?:\[[A-Za-z0-9._,-]+\])?(?:(?:[=~!<>]=|[<>])[A-Za-z0-9.*+!_-]+(?:,(?:[=~!<>]=|[<>])[A-Za-z0-9.*+!_-]+)*)?$/;
const PYTHON_MODULE = /^[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*$/;
const NPM_NAME = /^(?:@[a-z0-9_~-][a-z0-9._~-]*\/)?[a-z0-9_~-][a-z0-9._~-]*$/;
/** Versions, ranges and tags; no URL, path or alias, so that every package comes from the configured registry. */
const NPM_VERSION = /^[A-Za-z0-9.^~*<>=| +-]+$/;
const ENV_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** Names that the setup code, the loader or bash itself depends on. */
const RESERVED_ENV = new Set(
  "PATH HOME ENV_DIR VIRTUAL_ENV NODE_PATH BASH_ENV IFS LD_PRELOAD LD_LIBRARY_PATH LD_AUDIT SHELLOPTS BASHOPTS BASH_VERSINFO UID EUID PPID".split(
    " ",
  ),
);

const pythonRequirement = z
  .string()
  .max(200)
  .regex(PYTHON_REQUIREMENT, "must be a name with optional extras and versions, such as six==1.17.0");
const pythonModule = z.string().max(200).regex(PYTHON_MODULE, "must be a dotted module name");
const npmName = z.string().max(214).regex(NPM_NAME, "must be an npm package name");
/** A path inside a package (`@aws-sdk/client-s3/dist`) or a `node:` module is importable too. */
const nodeModule = z
  .string()
  .max(300)
  .regex(/^[A-Za-z0-9@_~][A-Za-z0-9@._~:/-]*$/, "must be a module specifier");

const filePath = text(500).refine(
  (path) => path.length > 0 && path.split("/").every((part) => part !== "" && part !== "." && part !== ".."),
  "must be a relative path without empty, `.` or `..` parts",
);

const file = z.strictObject({
  /** Relative to `$ENV_DIR/files`. */
  path: filePath,
  content: text(65_536),
  mode: z
    .string()
    .regex(/^0?[0-7]{3}$/, "must be three octal digits, such as 644")
    .default("644"),
});

const check = z.union([
  z.strictObject({ python: pythonModule }).describe("imported by the environment's Python"),
  z.strictObject({ javascript: nodeModule }).describe("imported by Node in the environment's project"),
  z.strictObject({ command: z.array(text(4096)).min(1).max(64) }).describe("an argv that must exit with 0"),
]);

const python = z.strictObject({
  /** Empty: a virtual environment with nothing but pip. */
  packages: z.array(pythonRequirement).max(200).default([]),
  /** Modules that the warm interpreter imports before it forks. */
  preload: z.array(pythonModule).max(50).default([]),
});

const javascript = z.strictObject({
  packages: z.record(npmName, z.string().max(100).regex(NPM_VERSION, "must be a version or a range")).default({}),
  /** Modules that the spare Node imports ahead of need. */
  preload: z.array(nodeModule).max(50).default([]),
});

/**
 * What an environment holds, as data. Rendered to setup code (`generateSetupCode`); docs/setup.md describes each field.
 */
export const setupPlanSchema = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, "must be lower-case letters, digits and hyphens"),
  description: text(1000),
  nodeType: z.enum(["python", "javascript", "file", "web"]),
  python: python.optional(),
  javascript: javascript.optional(),
  files: z.array(file).max(64).default([]),
  env: z
    .record(
      z
        .string()
        .max(100)
        .regex(ENV_NAME)
        .refine((name) => !RESERVED_ENV.has(name), "is set by the setup code itself"),
      text(4096),
    )
    .default({}),
  checks: z.array(check).max(64).default([]),
});

export type SetupPlan = z.infer<typeof setupPlanSchema>;
export type PlanCheck = SetupPlan["checks"][number];
