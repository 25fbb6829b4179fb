/**
 * What a code means to each door: HTTP status, whether a retry can help, CLI exit code and the hint shown to people.
 */
export interface CodeRow {
  readonly httpStatus: number;
  readonly retryable: boolean;
  readonly exitCode: number;
  readonly hint: string;
}

const row = (httpStatus: number, retryable: boolean, exitCode: number, hint: string): CodeRow => ({
  httpStatus,
  retryable,
  exitCode,
  hint,
});

/**
 * Every error Paddock raises. Exit codes below 64 belong to the guest; ours follow sysexits where one fits
 * (64 usage, 66 no input, 69 unavailable, 70 internal, 73 cannot create, 75 temporary, 78 configuration).
 * docs/errors.md lists the same codes; a test compares the two.
 */
export const ERROR_CODES = {
  invalid_request: row(400, false, 64, "Correct the named field; `--help` or docs/tasks.md shows the accepted shape."),
  invalid_config: row(400, false, 78, "Correct the named setting; docs/configuration.md lists all of them."),
  invalid_policy: row(
    400,
    false,
    64,
    "Use `none`, a preset (`pypi`, `npm`) or `host[:port]` entries, comma separated.",
  ),
  not_found: row(404, false, 66, "Check the id or path; `paddock ps` lists kept sandboxes."),
  no_plan: row(
    422,
    false,
    64,
    "Give code, tool calls, or a description that a recipe knows; docs/tasks.md lists the recipes.",
  ),
  driver_unavailable: row(503, false, 69, "Run `paddock doctor`: it names the missing feature and how to enable it."),
  isolation_failed: row(503, false, 69, "A protection could not be applied, so nothing was run. Run `paddock doctor`."),
  create_failed: row(503, true, 73, "The sandbox did not start. `paddock doctor` probes each step."),
  capacity: row(429, true, 75, "Wait for running sandboxes to end, or raise the admission limits."),
  no_space: row(507, true, 73, "Free disk space below PADDOCK_HOME, or ask for a smaller workspace."),
  engine_unavailable: row(
    503,
    true,
    69,
    "Start the container engine, or name it with DOCKER_HOST. `paddock doctor --driver docker` shows what was tried.",
  ),
  engine_failed: row(502, true, 70, "The container engine refused or failed; its message says why."),
  image_missing: row(409, false, 69, "Build it with `paddock images build TYPE`, or allow building."),
  image_failed: row(
    500,
    true,
    70,
    "Read the build output above; without a registry, `paddock images build --bootstrap` makes the base itself.",
  ),
  adoption_refused: row(
    409,
    false,
    69,
    "Only a living sandbox whose owner died and whose records agree can be adopted.",
  ),
  artifact_failed: row(502, true, 69, "The artifact store failed; check its endpoint, bucket and credentials."),
  artifact_exists: row(409, false, 73, "An artifact has this key already; choose another key, or allow replacing it."),
  object_denied: row(
    403,
    false,
    64,
    "The operator grants buckets and prefixes in artifacts.grants (docs/artifacts.md); nothing else may be reached.",
  ),
  template_failed: row(
    500,
    true,
    70,
    "Read the build output above; `paddock templates build TYPE` builds again from its cache.",
  ),
  template_missing: row(409, false, 69, "Build it with `paddock templates build TYPE`, or allow building."),
  template_corrupt: row(
    500,
    false,
    70,
    "The template's content hash does not match. `paddock templates prune --all` and build again.",
  ),
  registry_unreachable: row(502, true, 69, "Check that pip and npm on this host reach their registry."),
  setup_failed: row(500, false, 70, "The setup code failed; its output and readiness file name the step."),
  protocol_error: row(
    502,
    false,
    70,
    "The sandbox broke the channel protocol and was killed; the guest can cause this.",
  ),
  supervisor_lost: row(502, false, 70, "The sandbox's supervisor is gone; the guest can cause this."),
  sandbox_lost: row(502, false, 70, "The sandbox ended while it was in use. Start a new one."),
  sandbox_closed: row(409, false, 64, "This sandbox has ended; use a new one."),
  path_refused: row(
    403,
    false,
    64,
    "Use a regular path inside the workspace; links that leave it and /proc are refused.",
  ),
  archive_refused: row(
    422,
    false,
    64,
    "The archive holds entries that escape, are devices or carry setuid bits; they are named.",
  ),
  file_error: row(422, false, 64, "The file operation failed inside the sandbox for the reason given."),
  unauthorized: row(401, false, 77, "Give the server's token with RACTOR_TOKEN or --token, or log in with --operator."),
  remote_unavailable: row(
    502,
    true,
    69,
    "The remote server could not be reached or answered for a gateway; try again.",
  ),
  remote_failed: row(502, false, 70, "The remote server refused or failed; its message says why (docs/remote.md)."),
  forbidden: row(403, false, 77, "The token may not do this: ask the agent's owner, or an operator for a wider token."),
  name_taken: row(409, false, 73, "Choose another name, or delete the agent that has it."),
  wrong_state: row(400, false, 64, "The message says in which state the agent has to be."),
  superseded: row(409, false, 75, "Something newer came meanwhile; look at it, and ask again if this is still wanted."),
  agent_sleeping: row(409, false, 75, "Wake the agent first, or post a task to it: that wakes it."),
  agent_busy: row(409, true, 75, "Wait for the running task to end, or let the task queue (leave out `if_busy`)."),
  context_full: row(409, false, 75, "Clear the agent's context and post again."),
  task_ended: row(409, false, 64, "The task has its terminal state already, and that never changes."),
  idempotency_conflict: row(409, false, 64, "This idempotency key was used with another body; use a new key."),
  queue_full: row(429, true, 75, "Wait until tasks of the queue have ended."),
  quota_reached: row(
    429,
    false,
    75,
    "Delete agents that are not needed any more, or ask who runs the server for more.",
  ),
  rate_limited: row(429, true, 75, "Slow down; Retry-After says when the next request is taken."),
  too_large: row(413, false, 64, "Send less at once; docs/service.md lists the limits."),
  wrong_node: row(
    421,
    false,
    69,
    "This agent lives on another machine of the installation; send the request to the URL in the message.",
  ),
  fenced: row(409, false, 70, "Another process has taken this over; what this one did is not recorded."),
  draining: row(503, true, 75, "The server is about to stop; send the request again in a moment."),
  state_failed: row(503, true, 69, "The database failed; its message says why. What was acknowledged is kept."),
  timeout: row(504, true, 75, "Raise the timeout, or split the work."),
  cancelled: row(499, false, 130, "The caller cancelled the work."),
  task_lost: row(500, true, 70, "The process that owned the task died before it ended. Submit it again."),
  unsupported: row(501, false, 69, "This driver does not offer the feature; `paddock doctor` lists capabilities."),
  internal: row(500, false, 70, "This is a defect in Paddock; please report it with the text above."),
} as const satisfies Record<string, CodeRow>;

export type ErrorCode = keyof typeof ERROR_CODES;

export const isErrorCode = (text: string): text is ErrorCode => Object.hasOwn(ERROR_CODES, text);
