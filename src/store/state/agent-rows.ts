import type { Insertable, Selectable, Updateable } from "kysely";
import type { AgentRow, AgentSummary, Publication } from "../../model/agent.ts";
import type { AgentId, VolumeId } from "../../model/ids.ts";
import { DEFAULT_LIMITS } from "../../model/limits.ts";
import type { AgentPatch } from "../state-store/agents.ts";
import type { AgentsTable } from "./engine/tables.ts";

export const makeNameKey = (name: string): string => name.toLowerCase();

const makeSearchText = (name: string, description: string | null): string =>
  `${name}\n${description ?? ""}`.toLowerCase();

/** Of lists: everything but settings, the setup's report and what only searches read. */
export const SUMMARY_COLUMNS = [
  ...(["id", "name", "created_by", "state", "description", "parent_id", "parent_name"] as const),
  ...(["metadata_json", "tags_json", "created_at", "last_activity_at", "idle_timeout_seconds"] as const),
  ...(["busy_timeout_seconds", "idle_from", "busy_from", "context_cutoff_at", "last_context_length"] as const),
  ...(["woke_at", "runtime_ms", "published_at", "published_by", "published_revision"] as const),
  ...(["publish_permissions_json", "missing_copy_json", "volume_id", "node_id", "version"] as const),
] as const;
type SummaryColumns = Pick<Selectable<AgentsTable>, (typeof SUMMARY_COLUMNS)[number]>;

export function readAgent(row: Selectable<AgentsTable>): AgentRow {
  return {
    ...readSummary(row),
    settings: JSON.parse(row.settings_json),
    setupReport: row.setup_report_json === null ? null : JSON.parse(row.setup_report_json),
  };
}

export function readSummary(row: SummaryColumns): AgentSummary {
  return {
    id: row.id as AgentId,
    name: row.name,
    createdBy: row.created_by,
    state: row.state,
    description: row.description,
    parentName: row.parent_id === null ? null : row.parent_name,
    metadata: JSON.parse(row.metadata_json),
    tags: JSON.parse(row.tags_json),
    createdAt: row.created_at,
    lastActivityAt: row.last_activity_at,
    idleTimeoutSeconds: row.idle_timeout_seconds,
    busyTimeoutSeconds: row.busy_timeout_seconds,
    idleFrom: row.idle_from,
    busyFrom: row.busy_from,
    contextCutoffAt: row.context_cutoff_at,
    lastContextLength: row.last_context_length,
    wokeAt: row.woke_at,
    runtimeMs: row.runtime_ms,
    published: readPublication(row),
    publicationRevision: row.published_revision,
    publishPermissions: JSON.parse(row.publish_permissions_json),
    missingCopy: row.missing_copy_json === null ? null : JSON.parse(row.missing_copy_json),
    volumeId: row.volume_id as VolumeId,
    nodeId: row.node_id,
    version: row.version,
  };
}

function readPublication(row: Pick<SummaryColumns, "published_at" | "published_by">): Publication | null {
  if (row.published_at === null || row.published_by === null) return null;
  return { at: row.published_at, by: row.published_by };
}

/** Of its workspace, as asked for. */
export const sizeOf = ({ settings }: Pick<AgentRow, "settings">): number =>
  settings.limits.workspace_bytes ?? DEFAULT_LIMITS.workspaceBytes;

/** `parentId`: of the agent that has the parent's name now. */
export function writeAgent(agent: Omit<AgentRow, "version">, parentId: string | null): Insertable<AgentsTable> {
  return {
    id: agent.id,
    name: agent.name,
    name_key: makeNameKey(agent.name),
    search_text: makeSearchText(agent.name, agent.description),
    created_by: agent.createdBy,
    state: agent.state,
    description: agent.description,
    parent_id: parentId,
    parent_name: agent.parentName,
    metadata_json: writeJson(agent.metadata),
    tags_json: writeJson(agent.tags),
    created_at: agent.createdAt,
    last_activity_at: agent.lastActivityAt,
    idle_timeout_seconds: agent.idleTimeoutSeconds,
    busy_timeout_seconds: agent.busyTimeoutSeconds,
    idle_from: agent.idleFrom,
    busy_from: agent.busyFrom,
    context_cutoff_at: agent.contextCutoffAt,
    last_context_length: agent.lastContextLength,
    woke_at: agent.wokeAt,
    runtime_ms: agent.runtimeMs,
    ...writePublication(agent.published, agent.publicationRevision),
    publish_permissions_json: writeJson(agent.publishPermissions),
    settings_json: writeJson(agent.settings),
    setup_report_json: writeNullableJson(agent.setupReport),
    missing_copy_json: writeNullableJson(agent.missingCopy),
    workspace_bytes: sizeOf(agent),
    volume_id: agent.volumeId,
    node_id: agent.nodeId,
    version: 1,
  };
}

/** `name` is needed when the description changes, for the search text. */
export function writePatch(patch: AgentPatch, name: string): Updateable<AgentsTable> {
  const columns: Updateable<AgentsTable> = {};
  if (patch.state !== undefined) columns.state = patch.state;
  if (patch.description !== undefined) {
    columns.description = patch.description;
    columns.search_text = makeSearchText(name, patch.description);
  }
  if (patch.metadata !== undefined) columns.metadata_json = writeJson(patch.metadata);
  if (patch.tags !== undefined) columns.tags_json = writeJson(patch.tags);
  if (patch.lastActivityAt !== undefined) columns.last_activity_at = patch.lastActivityAt;
  if (patch.idleTimeoutSeconds !== undefined) columns.idle_timeout_seconds = patch.idleTimeoutSeconds;
  if (patch.busyTimeoutSeconds !== undefined) columns.busy_timeout_seconds = patch.busyTimeoutSeconds;
  if (patch.idleFrom !== undefined) columns.idle_from = patch.idleFrom;
  if (patch.busyFrom !== undefined) columns.busy_from = patch.busyFrom;
  if (patch.contextCutoffAt !== undefined) columns.context_cutoff_at = patch.contextCutoffAt;
  if (patch.lastContextLength !== undefined) columns.last_context_length = patch.lastContextLength;
  if (patch.wokeAt !== undefined) columns.woke_at = patch.wokeAt;
  if (patch.runtimeMs !== undefined) columns.runtime_ms = patch.runtimeMs;
  if (patch.setupReport !== undefined) columns.setup_report_json = writeNullableJson(patch.setupReport);
  if (patch.missingCopy !== undefined) columns.missing_copy_json = writeNullableJson(patch.missingCopy);
  return columns;
}

export function writePublication(
  published: Publication | null,
  revision: string | null,
): Pick<AgentsTable, "published_at" | "published_by" | "published_revision"> {
  return {
    published_at: published?.at ?? null,
    published_by: published?.by ?? null,
    published_revision: revision,
  };
}

/** What JSON cannot say becomes null. */
export const writeJson = (value: unknown): string => JSON.stringify(value) ?? "null";
export const writeNullableJson = (value: unknown): string | null => (value === null ? null : writeJson(value));
