/**
 * `metrics`: scrape, and nothing else. `read`: look at what the principal may see. `write`: all of that and work with
 * it. `admin`: everything.
 */
export const SCOPES = ["metrics", "read", "write", "admin"] as const;
export type Scope = (typeof SCOPES)[number];

const COVERED: Readonly<Record<Scope, readonly Scope[]>> = {
  metrics: ["metrics"],
  read: ["read"],
  write: ["read", "write"],
  admin: SCOPES,
};

/** Whether a token of scope `held` may do what needs `needed`. Scopes are no ladder: who works does not scrape. */
export const coversScope = (held: Scope, needed: Scope): boolean => COVERED[held].includes(needed);

/** Ractor's word for who a token speaks for; `Admin` tokens belong to operators. */
export type PrincipalType = "User" | "Admin";

/** Who asks. */
export interface Principal {
  readonly name: string;
  readonly type: PrincipalType;
  readonly scope: Scope;
  /** Names of the agents that the token is limited to, lower case; undefined means all that the principal may see. */
  readonly agents: readonly string[] | undefined;
}

/** An issued token. The token itself is not kept, only its SHA-256. Times are milliseconds since 1970. */
export interface TokenRow {
  readonly id: string;
  /** 64 hex digits. */
  readonly hash: string;
  readonly principal: string;
  readonly type: PrincipalType;
  readonly scope: Scope;
  readonly agents: readonly string[] | null;
  readonly createdBy: string;
  readonly createdAt: number;
  readonly expiresAt: number | null;
  readonly revokedAt: number | null;
}

export interface OperatorRow {
  readonly name: string;
  /** `scrypt$...`; null: no password works. */
  readonly passwordHash: string | null;
  readonly description: string | null;
  readonly active: boolean;
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly lastLoginAt: number | null;
}

export interface BlockRow {
  readonly principal: string;
  readonly type: PrincipalType;
  readonly createdAt: number;
}
