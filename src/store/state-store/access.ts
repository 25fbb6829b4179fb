import type { BlockRow, OperatorRow, PrincipalType, TokenRow } from "../../model/principal.ts";

/** Bearer tokens, by the hash of each. */
export interface TokenStore {
  insertToken(token: TokenRow): Promise<void>;
  findToken(hash: string): Promise<TokenRow | undefined>;
  /** Living ones, newest first. */
  listTokens(principal?: string): Promise<readonly TokenRow[]>;
  /** False when there is no such living token. */
  revokeToken(id: string, now: number): Promise<boolean>;
}

/** Operators of the service. */
export interface OperatorStore {
  /** False when the operator exists. */
  insertOperator(operator: OperatorRow): Promise<boolean>;
  findOperator(name: string): Promise<OperatorRow | undefined>;
  /** Newest first. */
  listOperators(): Promise<readonly OperatorRow[]>;
  updateOperator(
    name: string,
    patch: Partial<Pick<OperatorRow, "passwordHash" | "description" | "active" | "lastLoginAt" | "updatedAt">>,
  ): Promise<OperatorRow | undefined>;
  /** Revokes its tokens with it: another operator of the same name inherits none. */
  deleteOperator(name: string): Promise<boolean>;
}

/** Principals that are shut out. */
export interface BlockStore {
  /** False when it was blocked before. */
  block(principal: string, type: PrincipalType, now: number): Promise<boolean>;
  unblock(principal: string, type: PrincipalType): Promise<boolean>;
  isBlocked(principal: string, type: PrincipalType): Promise<boolean>;
  listBlocks(): Promise<readonly BlockRow[]>;
}

export interface AccessStore extends TokenStore, OperatorStore, BlockStore {}
