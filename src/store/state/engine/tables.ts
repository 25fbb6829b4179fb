import type { Generated } from "kysely";
import type { AgentState } from "../../../model/agent.ts";
import type { PrincipalType, Scope } from "../../../model/principal.ts";
import type { ResponseStatus } from "../../../model/response.ts";

/**
 * The tables as both databases have them. Times are milliseconds since 1970, columns named `..._json` hold JSON text,
 * flags are 0 or 1.
 */
export interface Tables {
  agents: AgentsTable;
  responses: ResponsesTable;
  segments: SegmentsTable;
  published_files: PublishedFilesTable;
  idempotency_keys: IdempotencyKeysTable;
  nodes: NodesTable;
  tokens: TokensTable;
  operators: OperatorsTable;
  blocks: BlocksTable;
  database_identity: DatabaseIdentityTable;
}

export interface AgentsTable {
  /** Breaks ties of `created_at`. */
  seq: Generated<number>;
  id: string;
  name: string;
  /** The name in lower case: unique, and what agents are found by. */
  name_key: string;
  /** Name and description in lower case, for substring search. */
  search_text: string;
  created_by: string;
  state: AgentState;
  description: string | null;
  /** Null, and `parent_name` without meaning, once the parent is gone. */
  parent_id: string | null;
  parent_name: string | null;
  metadata_json: string;
  tags_json: string;
  created_at: number;
  last_activity_at: number | null;
  idle_timeout_seconds: number;
  busy_timeout_seconds: number;
  idle_from: number | null;
  busy_from: number | null;
  context_cutoff_at: number | null;
  last_context_length: number;
  woke_at: number | null;
  runtime_ms: number;
  published_at: number | null;
  published_by: string | null;
  published_revision: string | null;
  publish_permissions_json: string;
  settings_json: string;
  setup_report_json: string | null;
  missing_copy_json: string | null;
  /** What was asked for. */
  workspace_bytes: number;
  volume_id: string;
  node_id: string;
  version: number;
}

export interface ResponsesTable {
  seq: Generated<number>;
  id: string;
  task_id: string;
  agent_id: string;
  agent_name: string;
  status: ResponseStatus;
  created_by: string;
  input_json: string;
  options_json: string;
  created_at: number;
  updated_at: number;
  started_at: number | null;
  /** Null exactly while it is pending or processing: the indexes of open work are by this. */
  finished_at: number | null;
  attempts: number;
  error_json: string | null;
  output_json: string | null;
  version: number;
  segment_count: number;
  /** What it takes: all its JSON, segments included, and its rows. */
  bytes: number;
  /** Those of `bytes` that PUT has added: they are the agent's owner's, not of who posted it. */
  amended_bytes: number;
  /** Who processes it; null otherwise. A claim of an earlier reign has the reign 0: no fence matches it. */
  claim_node: string | null;
  claim_reign: number | null;
}

export interface SegmentsTable {
  response_id: string;
  number: number;
  segment_json: string;
}

export interface PublishedFilesTable {
  agent_id: string;
  /** SHA-256 of the path: a path may be longer than what an index takes. */
  path_key: string;
  path: string;
  artifact_key: string;
  bytes: number;
  sha256: string;
  revision: string;
}

export interface IdempotencyKeysTable {
  principal: string;
  key: string;
  hash: string;
  /** Id of the agent or response that was made. It may be gone: the key still says that the request was carried out. */
  target: string;
  created_at: number;
}

export interface NodesTable {
  id: string;
  reign: number;
  url: string | null;
}

export interface TokensTable {
  id: string;
  hash: string;
  principal: string;
  type: PrincipalType;
  scope: Scope;
  agents_json: string | null;
  created_by: string;
  created_at: number;
  expires_at: number | null;
  revoked_at: number | null;
}

export interface OperatorsTable {
  name: string;
  name_key: string;
  password_hash: string | null;
  description: string | null;
  active: number;
  created_at: number;
  updated_at: number;
  last_login_at: number | null;
}

export interface BlocksTable {
  principal: string;
  type: PrincipalType;
  created_at: number;
}

/** One row. */
export interface DatabaseIdentityTable {
  id: string;
}
