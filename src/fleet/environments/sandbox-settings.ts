import { CA_FILE, ENV_DIR, NODE_DIR, PYTHON } from "../../model/guest-paths.ts";
import type { Limits } from "../../model/limits.ts";
import type { NodeType } from "../../model/node-type.ts";
import type { SandboxSettings } from "../../sandbox/sandbox.ts";
import type { Template } from "./environments.ts";

const CA_VARIABLES = [
  "SSL_CERT_FILE",
  "REQUESTS_CA_BUNDLE",
  "PIP_CERT",
  "NODE_EXTRA_CA_CERTS",
  "CURL_CA_BUNDLE",
  "GIT_SSL_CAINFO",
  "AWS_CA_BUNDLE",
];

export interface NodeOptions {
  readonly sandboxId: string;
  readonly nodeType: NodeType;
  readonly limits: Limits;
  readonly template: Template | undefined;
  readonly workspacePath: string;
  /** The environment of the task, over the node's own. */
  readonly env: Readonly<Record<string, string>>;
  /** Registry settings of the host's pip and npm, without credentials. */
  readonly registryEnv: Readonly<Record<string, string>>;
  readonly hasCaBundle: boolean;
}

/** What a sandbox of a node type is told about itself. */
export function makeSettings(options: NodeOptions): SandboxSettings {
  const { nodeType, template, workspacePath } = options;
  const python = template?.hasPython ? [`${ENV_DIR}/venv/bin/python`, "-I"] : [PYTHON, "-I"];
  return {
    hostname: options.sandboxId.slice(4, 16),
    workspacePath,
    env: { ...baseEnvironment(options, workspacePath), ...template?.env, ...options.env },
    python: { argv: python, preload: template?.pythonPreload ?? [], warm: nodeType === "python" },
    javascript: { argv: [`${NODE_DIR}/bin/node`], warm: nodeType === "javascript" },
    spillBytes: options.limits.spillBytes,
  };
}

function baseEnvironment(options: NodeOptions, workspacePath: string): Record<string, string> {
  const template = options.template;
  const path = [
    `${workspacePath}/.venv/bin`,
    `${workspacePath}/node_modules/.bin`,
    ...(template?.hasPython ? [`${ENV_DIR}/venv/bin`] : []),
    ...(template?.hasJavascript ? [`${ENV_DIR}/node/node_modules/.bin`] : []),
    `${NODE_DIR}/bin`,
    "/usr/bin",
    "/bin",
    "/usr/sbin",
    "/sbin",
  ];
  return {
    PATH: path.join(":"),
    HOME: "/tmp",
    TMPDIR: "/tmp",
    USER: "paddock",
    LANG: "C.UTF-8",
    TZ: "UTC",
    PYTHONDONTWRITEBYTECODE: "1",
    PIP_DISABLE_PIP_VERSION_CHECK: "1",
    PIP_NO_CACHE_DIR: "1",
    npm_config_cache: "/tmp/.npm",
    npm_config_update_notifier: "false",
    npm_config_fund: "false",
    npm_config_audit: "false",
    ...(template?.hasJavascript ? { NODE_PATH: `${ENV_DIR}/node/node_modules` } : {}),
    ...(options.hasCaBundle ? Object.fromEntries(CA_VARIABLES.map((name) => [name, CA_FILE])) : {}),
    ...options.registryEnv,
  };
}
