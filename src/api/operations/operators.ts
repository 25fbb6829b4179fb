import { z } from "zod";
import { ADMIN } from "../../access/issue.ts";
import { verifyPassword } from "../../access/passwords.ts";
import { MIN_PASSWORD_LENGTH } from "../../config/service.ts";
import { PaddockError } from "../../errors/error.ts";
import type { OperatorRow, Principal } from "../../model/principal.ts";
import { allowEmptyBody, requireJson } from "../http/bodies.ts";
import type { Server, ServerParts } from "../http/server-services.ts";
import { showOptionalTime, showTime } from "../http/times.ts";

const OPERATORS = "/api/v0/operators";
const OPERATOR = `${OPERATORS}/:name` as const;
const tags = ["operators"];

const Password = z.string().min(MIN_PASSWORD_LENGTH).max(1024);
const Path = z.object({ name: z.string().max(255) });
const CreateBody = z.object({
  user: z.string().regex(/^[A-Za-z0-9_.-]{1,64}$/, "only letters, digits and _ . -, at most 64"),
  pass: Password,
  description: z.string().max(4096).nullish(),
});
const UpdateBody = z.object({ description: z.string().max(4096).nullish(), active: z.boolean().nullable() });
const PasswordBody = z.object({ current_password: z.string().max(1024), new_password: Password });
const Operator = z.object({
  user: z.string(),
  description: z.string().nullable(),
  active: z.boolean(),
  created_at: z.string(),
  updated_at: z.string(),
  last_login_at: z.string().nullable(),
});

const admin = { access: "admin" } as const;
const noBody = z.undefined().describe("No body");

/** People who log in. The operator `admin` may do everything and always exists. */
export function registerOperators(server: Server, parts: ServerParts): void {
  const { store, access } = parts;
  const list = { tags, summary: "List operators, newest first", response: { 200: z.array(Operator) } };
  server.get(OPERATORS, { schema: list, config: { access: "read" } }, async ({ principal }) =>
    (await store.listOperators()).filter(({ name }) => maySee(principal, name)).map(show),
  );

  const create = { tags, summary: "Create an operator", body: CreateBody, response: { 200: Operator } };
  server.post(OPERATORS, { schema: create, config: admin, onRequest: requireJson }, async ({ body }) => {
    if ((await store.listTokens(body.user)).some(({ type }) => type === "User")) throw hasTokens(body.user);
    const now = Date.now();
    const operator: OperatorRow = {
      name: body.user,
      passwordHash: await access.hashPassword(body.pass),
      description: body.description ?? null,
      active: true,
      createdAt: now,
      updatedAt: now,
      lastLoginAt: null,
    };
    if (!(await store.insertOperator(operator))) throw new PaddockError("name_taken", "Operator already exists");
    return show(operator);
  });

  const get = { tags, summary: "Read an operator", params: Path, response: { 200: Operator } };
  server.get(OPERATOR, { schema: get, config: { access: "read" } }, async ({ params, principal }) => {
    assertMaySee(principal, params.name);
    return show(found(await store.findOperator(params.name)));
  });
  registerOperatorChanges(server, parts);
}

function registerOperatorChanges(server: Server, { store, access }: ServerParts): void {
  const update = { tags, summary: "Change an operator", params: Path, body: UpdateBody, response: { 200: Operator } };
  server.put(OPERATOR, { schema: update, config: admin, onRequest: requireJson }, async ({ params, body }) => {
    if (params.name === ADMIN && body.active === false) throw keepAdmin();
    const patch = {
      ...(body.description == null ? {} : { description: body.description }),
      ...(body.active === null ? {} : { active: body.active }),
    };
    if (Object.keys(patch).length === 0) throw new PaddockError("not_found", "Operator not found");
    return show(found(await store.updateOperator(params.name, { ...patch, updatedAt: Date.now() })));
  });

  const password = { tags, summary: "Change a password", params: Path, body: PasswordBody, response: { 200: noBody } };
  server.put(
    `${OPERATOR}/password`,
    { schema: password, config: { access: "write" }, onRequest: requireJson },
    async ({ params, body, principal }, reply) => {
      assertMaySee(principal, params.name);
      const operator = found(await store.findOperator(params.name));
      if (!(await verifyPassword(body.current_password, operator.passwordHash)))
        throw new PaddockError("unauthorized", "Unauthorized");
      const passwordHash = await access.hashPassword(body.new_password);
      found(await store.updateOperator(params.name, { passwordHash, updatedAt: Date.now() }));
      return await reply.send();
    },
  );

  const remove = { tags, summary: "Delete an operator", params: Path, response: { 200: noBody } };
  server.delete(OPERATOR, { schema: remove, config: admin, onRequest: allowEmptyBody }, async ({ params }, reply) => {
    if (params.name === ADMIN) throw keepAdmin();
    if (!(await store.deleteOperator(params.name))) throw new PaddockError("not_found", "Operator not found");
    return await reply.send();
  });
}

/** Agents belong to names: whoever holds such a token would own the operator's. */
const hasTokens = (name: string): PaddockError =>
  new PaddockError("name_taken", `${name} has living tokens of the type User`, {
    hint: "Revoke them, or choose another name.",
  });

const keepAdmin = (): PaddockError =>
  new PaddockError("wrong_state", "The operator admin can neither be removed nor made inactive");

function found(operator: OperatorRow | undefined): OperatorRow {
  if (operator === undefined) throw new PaddockError("not_found", "Operator not found");
  return operator;
}

const maySee = (principal: Principal, name: string): boolean =>
  principal.scope === "admin" || (principal.type === "Admin" && principal.name === name);

function assertMaySee(principal: Principal, name: string): void {
  if (!maySee(principal, name)) throw new PaddockError("forbidden", "Insufficient permissions");
}

const show = (row: OperatorRow): z.infer<typeof Operator> => ({
  user: row.name,
  description: row.description,
  active: row.active,
  created_at: showTime(row.createdAt),
  updated_at: showTime(row.updatedAt),
  last_login_at: showOptionalTime(row.lastLoginAt),
});
