import { randomUUID } from "node:crypto";

export const identifyDatabase = (): readonly string[] => [
  `create table database_identity (id text not null primary key)`,
  `insert into database_identity (id) values ('db_${randomUUID()}')`,
];
