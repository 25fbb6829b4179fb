import type { Insertable, Selectable } from "kysely";
import type { AgentRow } from "../../model/agent.ts";
import type { AgentId, TaskId } from "../../model/ids.ts";
import type { ResponseRow } from "../../model/response.ts";
import type { NewResponse, ResponseEnd } from "../state-store/responses.ts";
import { writeJson } from "./agent-rows.ts";
import type { ResponsesTable } from "./engine/tables.ts";
import { RESPONSE_BYTES } from "./principal-bytes.ts";
import type { EncodedSegments } from "./segments.ts";

/** An end as it is stored. */
export interface EncodedEnd {
  readonly end: ResponseEnd;
  readonly error: string | null;
  /** Undefined: what is there stays. */
  readonly output: string | undefined;
  readonly added: EncodedSegments;
}

export function readResponse(row: Selectable<ResponsesTable>): ResponseRow {
  return {
    id: row.id,
    taskId: row.task_id as TaskId,
    agentId: row.agent_id as AgentId,
    agentName: row.agent_name,
    seq: row.seq,
    status: row.status,
    createdBy: row.created_by,
    input: JSON.parse(row.input_json),
    options: JSON.parse(row.options_json),
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    startedAt: row.started_at,
    finishedAt: row.finished_at,
    attempts: row.attempts,
    error: row.error_json === null ? null : JSON.parse(row.error_json),
    outputContent: row.output_json === null ? null : JSON.parse(row.output_json),
    version: row.version,
  };
}

/** A pending one. */
export function writeResponse(agent: Pick<AgentRow, "id" | "name">, response: NewResponse): Insertable<ResponsesTable> {
  const input = writeJson(response.input);
  const options = writeJson(response.options);
  return {
    id: response.id,
    task_id: response.taskId,
    agent_id: agent.id,
    agent_name: agent.name,
    status: "pending",
    created_by: response.createdBy,
    input_json: input,
    options_json: options,
    created_at: response.createdAt,
    updated_at: response.createdAt,
    started_at: null,
    finished_at: null,
    attempts: 0,
    error_json: null,
    output_json: null,
    version: 1,
    segment_count: 0,
    bytes: RESPONSE_BYTES + Buffer.byteLength(input) + Buffer.byteLength(options),
    amended_bytes: 0,
    claim_node: null,
    claim_reign: null,
  };
}
