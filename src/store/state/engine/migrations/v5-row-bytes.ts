/** Rows count with what they take besides their texts. */
export const countWholeRows = (): readonly string[] => [
  `update responses set bytes = bytes + 640 + 128 * segment_count`,
  `alter table responses add column amended_bytes bigint not null default 0`,
  `create index ended_responses_by_creator on responses (created_by, seq, finished_at, bytes, amended_bytes) where finished_at is not null`,
  `create index open_bytes_by_creator on responses (created_by, finished_at, bytes, amended_bytes) where finished_at is null`,
  `create index amended_responses on responses (agent_id, amended_bytes) where amended_bytes > 0`,
];
