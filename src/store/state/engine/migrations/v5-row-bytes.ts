/** Rows count with what they take besides their texts. */
export const countWholeRows = (): readonly string[] => [
  `update responses set bytes = bytes + 640 + 128 * segment_count`,
  `create index if not exists ended_responses_by_creator on responses (created_by, seq, bytes) where finished_at is not null`,
];
