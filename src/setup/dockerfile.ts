import { PaddockError } from "../errors/error.ts";
import { ENV_DIR, NODE_DIR } from "../model/guest-paths.ts";
import type { PlanCheck, SetupPlan } from "./plan.ts";
import { hashCanonical } from "./plan-hash.ts";
import { quoteWords } from "./quote.ts";
import { renderSetup } from "./setup-code.ts";

/** Nobody, by number: an image need not have a name for it. */
const USER = "65534:65534";
const PATH_TAIL = [`${NODE_DIR}/bin`, "/usr/bin", "/bin", "/usr/sbin", "/sbin"];

/** Files of the build context beside the tree of the environment. */
export interface RenderedImage {
  readonly dockerfile: string;
  /** `setup.sh` of the context. */
  readonly setupCode: string;
  readonly planHash: string;
  /** Stands as `plan` in the readiness file of the environment. */
  readonly setupHash: string;
}

/**
 * A node type's image from its plan. The context holds `setup.sh` and, where the environment was made before, `env.tar`
 * with the content of `$ENV_DIR`: then the build needs no network. Throws `invalid_config` for a variable that a
 * Dockerfile cannot hold.
 */
export function renderImage(plan: SetupPlan): RenderedImage {
  const setup = renderSetup(plan, { envDir: ENV_DIR });
  const planHash = hashCanonical(plan);
  const lines = [
    `# Made from setup-templates/${plan.nodeType}/plan.json by src/setup/dockerfile.ts: change the plan, not this file (docs/images.md).`,
    "ARG BASE=paddock/base:latest",
    "FROM $BASE",
    `LABEL paddock.image="${plan.name}" paddock.plan="${planHash}" paddock.setup="${setup.hash}"`,
    `ENV ${renderEnv(plan)}`,
    "USER 0:0",
    "# env.tar is unpacked; setup.sh then finds its work done. Without env.tar it downloads.",
    `ADD setup.sh env.tar* ${ENV_DIR}/`,
    ...renderRun([
      `PIP_NO_CACHE_DIR=1 npm_config_cache=/tmp/npm HOME=/tmp bash ${ENV_DIR}/setup.sh`,
      "rm -rf /tmp/* /tmp/.??*",
      `grep -q '"plan":"${setup.hash}"' ${ENV_DIR}/ready.json`,
      'test -z "$(find / -xdev -type f -perm /6000)"',
    ]),
    `USER ${USER}`,
    ...renderChecks(plan),
  ];
  return { dockerfile: `${lines.join("\n")}\n`, setupCode: setup.code, planHash, setupHash: setup.hash };
}

function renderEnv(plan: SetupPlan): string {
  const path = [
    ...(plan.python ? [`${ENV_DIR}/venv/bin`] : []),
    ...(plan.javascript ? [`${ENV_DIR}/node/node_modules/.bin`] : []),
    ...PATH_TAIL,
  ];
  const variables: Readonly<Record<string, string>> = {
    ENV_DIR,
    PATH: path.join(":"),
    ...(plan.python ? { VIRTUAL_ENV: `${ENV_DIR}/venv` } : {}),
    ...(plan.javascript ? { NODE_PATH: `${ENV_DIR}/node/node_modules` } : {}),
    ...plan.env,
  };
  return Object.entries(variables)
    .map(([name, value]) => `${name}=${quoteDocker(name, value)}`)
    .join(" ");
}

/** A value between double quotes, as Docker's own parser reads it: backslash, quote and dollar are escaped. */
function quoteDocker(name: string, value: string): string {
  if (/[\p{Cc}\u2028\u2029]/u.test(value))
    throw new PaddockError("invalid_config", `a Dockerfile cannot hold the control characters of ${name}`);
  return `"${value.replace(/["\\$]/g, "\\$&")}"`;
}

/** The plan's checks as the image's user: what setup.sh checked as root, or in another sandbox, has to work for it. */
function renderChecks(plan: SetupPlan): string[] {
  const pick = <T>(choose: (check: PlanCheck) => T | undefined): T[] =>
    plan.checks.map(choose).filter((value) => value !== undefined);
  const python = pick((check) => ("python" in check ? check.python : undefined));
  const javascript = pick((check) => ("javascript" in check ? check.javascript : undefined));
  const commands = pick((check) => ("command" in check ? check.command : undefined));
  const imports = "for (const name of process.argv.slice(1)) await import(name)";
  const steps = [
    "export HOME=$(mktemp -d) NODE_DISABLE_COMPILE_CACHE=1",
    ...(python.length > 0
      ? [`MPLCONFIGDIR="$HOME" ${ENV_DIR}/venv/bin/python -I -B -c 'import ${python.join(", ")}'`]
      : []),
    ...(javascript.length > 0
      ? [`(cd ${ENV_DIR}/node && node --input-type=module -e '${imports}' -- ${quoteWords(javascript)})`]
      : []),
    'rm -rf "$HOME"',
    'test -z "$(ls -A /tmp)"',
  ];
  // As JSON a command is exactly its argv, whatever characters it holds.
  return [...commands.map((command) => `RUN ${JSON.stringify(command)}`), ...renderRun(steps)];
}

function renderRun(steps: readonly string[]): string[] {
  return ["RUN set -eu; \\", ...steps.map((step, index) => `    ${step}${index < steps.length - 1 ? "; \\" : ""}`)];
}
