export const addWorkspaceBytes = (): readonly string[] => [
  `alter table agents add column workspace_bytes bigint not null default 1073741824`,
];
