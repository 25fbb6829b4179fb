import { readFileSync } from "node:fs";
import { ENV_DIR, PYTHON } from "../model/guest-paths.ts";
import type { PlanCheck, SetupPlan } from "./plan.ts";
import { GENERATOR_VERSION, hashCanonical } from "./plan-hash.ts";
import { quoteBash, quoteWords } from "./quote.ts";

export interface SetupCodeOptions {
  /** Where the environment goes when `ENV_DIR` is not set at run time. */
  readonly envDir?: string;
  /** Interpreter of the virtual environment when `PADDOCK_PYTHON` is not set at run time. */
  readonly python?: string;
  /** Attempts per download step. */
  readonly maxAttempts?: number;
}

export interface RenderedSetup {
  /** Bash; docs/setup.md says what it leaves in `$ENV_DIR`. */
  readonly code: string;
  /** Identifies plan and code; stands as `plan` in the readiness file. */
  readonly hash: string;
}

/** One step of the plan as lines of bash. Each calls `step` exactly once. */
type Step = readonly string[];

/** Setup code for a plan, with the hash that its readiness file will carry. */
export function renderSetup(plan: SetupPlan, options: SetupCodeOptions = {}): RenderedSetup {
  const steps = listSteps(plan);
  const settings = renderSettings(plan, options, steps);
  const library = readFileSync(new URL("../../setup-templates/setup-lib.sh", import.meta.url), "utf8").replace(
    /^# shellcheck .*\n/,
    "",
  );
  const body = ["run_plan() {", ...(steps.length > 0 ? steps.flat() : [":"]).map((line) => `  ${line}`), "}"];
  const hash = hashCanonical({ generatorVersion: GENERATOR_VERSION, plan, settings, library, body });
  const code = [
    "#!/usr/bin/env bash",
    "# Made by `paddock setup`. May run again at any time; when nothing changed it ends at once.",
    "set -euo pipefail",
    "",
    ...settings,
    `plan_hash=${hash}`,
    "",
    library,
    ...body,
    "",
    "main",
  ];
  return { code: `${code.join("\n")}\n`, hash };
}

export function generateSetupCode(plan: SetupPlan, options: SetupCodeOptions = {}): string {
  return renderSetup(plan, options).code;
}

function renderSettings(plan: SetupPlan, options: SetupCodeOptions, steps: readonly Step[]): string[] {
  const env = Object.entries(plan.env).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return [
    `plan_name=${quoteBash(plan.name)}`,
    `default_env_dir=${quoteBash(options.envDir ?? ENV_DIR)}`,
    `default_python=${quoteBash(options.python ?? PYTHON)}`,
    `uses_python=${plan.python ? "yes" : "no"}`,
    `uses_javascript=${plan.javascript ? "yes" : "no"}`,
    `plan_env=(${quoteWords(env.map(([name, value]) => `${name}=${value}`))})`,
    `max_attempts=${options.maxAttempts ?? 3}`,
    // The first and the last step are part of every plan.
    `step_count=${steps.length + 2}`,
  ];
}

function listSteps(plan: SetupPlan): Step[] {
  const steps: Step[] = [];
  if (plan.python) steps.push(["make_python"]);
  if (plan.python && plan.python.packages.length > 0)
    steps.push([`install_python ${quoteWords(plan.python.packages)}`]);
  if (plan.javascript) steps.push([renderJavascript(plan.javascript.packages)]);
  if (plan.files.length > 0) {
    const files = plan.files.map((file) => `put_file ${quoteWords([file.path, file.mode, file.content])}`);
    steps.push([`step 'Write ${plan.files.length} files'`, ...files]);
  }
  if (plan.checks.length > 0) steps.push([`step 'Run ${plan.checks.length} checks'`, ...renderChecks(plan.checks)]);
  return steps;
}

function renderJavascript(packages: Readonly<Record<string, string>>): string {
  const project = { name: "paddock-env", private: true, dependencies: packages };
  return `make_javascript ${quoteBash(JSON.stringify(project))} ${Object.keys(packages).length}`;
}

/** One interpreter start for all imports of a language. */
function renderChecks(checks: readonly PlanCheck[]): string[] {
  const python = checks.flatMap((check) => ("python" in check ? [check.python] : []));
  const javascript = checks.flatMap((check) => ("javascript" in check ? [check.javascript] : []));
  return [
    ...(python.length > 0 ? [`check_python ${quoteWords(python)}`] : []),
    ...(javascript.length > 0 ? [`check_javascript ${quoteWords(javascript)}`] : []),
    ...checks.flatMap((check) => ("command" in check ? [`check_command ${quoteWords(check.command)}`] : [])),
  ];
}
