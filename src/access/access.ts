import type { Principal, PrincipalType, Scope, TokenRow } from "../model/principal.ts";

export interface TokenRequest {
  readonly principal: string;
  readonly type: PrincipalType;
  /** Default: `admin` for the operator admin's tokens, else `write`. */
  readonly scope?: Scope;
  readonly agents?: readonly string[];
  /** Positive, cut to the operator's `max_token_ttl_hours`; undefined: the operator's `token_ttl_hours`. */
  readonly ttlHours?: number;
}

/** A token, shown once. */
export interface IssuedToken {
  readonly token: string;
  readonly row: TokenRow;
}

/** Tokens, operators and blocks over the state store. Tokens are 256 random bits; only their SHA-256 is kept. */
export interface Access {
  /**
   * Who a header `Authorization: Bearer <token>` speaks for. Throws `unauthorized` (message `Unauthorized`) for none, a
   * garbled, unknown, expired or revoked one and for tokens of operators that are gone or inactive, `forbidden`
   * (`Principal is blocked`).
   */
  authenticate(authorization: string | undefined): Promise<Principal>;
  /**
   * Throws `unauthorized` for an unknown or inactive operator, a wrong password and one who has none. Slow on purpose;
   * at most two run at once.
   */
  login(operator: string, password: string, ttlHours: number | undefined): Promise<IssuedToken>;
  issue(request: TokenRequest, by: Principal): Promise<IssuedToken>;
  revoke(tokenId: string): Promise<boolean>;
  /**
   * Makes the operator admin and, when no living admin token exists or `renew`, one that is returned. Sets its password
   * when the operator of the machine gave one.
   */
  ensureAdmin(options: {
    readonly password: string | undefined;
    readonly renew: boolean;
  }): Promise<IssuedToken | undefined>;
  hashPassword(password: string): Promise<string>;
}
