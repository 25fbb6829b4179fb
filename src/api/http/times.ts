/** As the contract's own fields have it: RFC 3339, numeric offset, whole seconds. */
export const showTime = (atMs: number): string => `${new Date(atMs).toISOString().slice(0, 19)}+00:00`;

export const showOptionalTime = (atMs: number | null): string | null => (atMs === null ? null : showTime(atMs));

/** As fields of our own have it: RFC 3339 with milliseconds. */
export const showPreciseTime = (atMs: number | null): string | null =>
  atMs === null ? null : new Date(atMs).toISOString();
