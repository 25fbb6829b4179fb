/** RFC 3339 with milliseconds and a numeric offset: clients of the contract know no `Z`. */
export const formatTime = (ms: number = Date.now()): string => new Date(ms).toISOString().replace("Z", "+00:00");
