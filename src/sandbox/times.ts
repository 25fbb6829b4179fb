/** How long a supervisor may take. The machine's part does not count (PatientTimer). */
export interface SupervisorTimes {
  /** While a call runs the supervisor is asked for a sign of life so often, */
  readonly pingEveryMs: number;
  /** and is lost when it gives none for so long. */
  readonly silenceMs: number;
  /** It has a free connection for the next call at the latest after this time. */
  readonly takeMs: number;
  /** After its deadline or cancel a call has this long until its whole sandbox is killed. */
  readonly graceMs: number;
}

export const SUPERVISOR_TIMES: SupervisorTimes = { pingEveryMs: 1000, silenceMs: 3000, takeMs: 3000, graceMs: 1000 };
