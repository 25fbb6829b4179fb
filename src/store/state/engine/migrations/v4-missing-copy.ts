export const addMissingCopy = (): readonly string[] => [`alter table agents add column missing_copy_json text`];
