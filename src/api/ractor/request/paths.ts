export const AGENTS = "/api/v0/agents";
export const AGENT = `${AGENTS}/:name` as const;
export const RESPONSES = `${AGENT}/responses` as const;
export const FILES = `${AGENT}/files` as const;
