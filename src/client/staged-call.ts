import { round } from "../executor/metrics.ts";
import type { CallSite, PlaceFacts, Tried } from "../executor/place.ts";
import type { CallScope } from "../executor/scope.ts";
import type { RemoteIsolation, RemoteRecord } from "../model/remote.ts";
import { timeoutOf } from "./capture.ts";
import { attemptRemotely, type RemoteAttempt, type RemoteSite } from "./remote-attempt.ts";

/** Nothing of the host is known. */
const UNKNOWN_ISOLATION: RemoteIsolation = {
  driver: "ractor",
  runtime: "unknown",
  version: "unknown",
  kernel: "unknown",
  seccomp: "unknown",
  limits: { mode: "unknown", workspace: "unknown" },
};

/** What a foreign server does not hold, whatever the task says. */
const NOT_ENFORCED = ["network", "memory_bytes", "cpus", "pids", "workspace_bytes", "tmp_bytes", "open_files"];
const ALWAYS_UNKNOWN = ["egress", "cpu_user_ms", "cpu_system_ms", "max_rss_bytes"];
const FILE_FIELDS = ["files_created", "files_modified", "files_deleted", "dependencies_installed"];
const TIME_FIELDS = ["phases_ms.run", "compute_ms"];
const NO_EVIDENCE = { before: {}, after: {}, egress: [], outputExceeded: false, diskFull: false, peakIsOwn: false };

/** A call that was staged on a foreign server. */
export class StagedCall implements CallSite {
  readonly #scope: CallScope;
  readonly #site: RemoteSite;
  readonly #stop: () => void;
  #last: RemoteAttempt | undefined;

  constructor(scope: CallScope, site: RemoteSite) {
    this.#scope = scope;
    this.#site = site;
    this.#stop = site.client.observe((request) => site.account.add(request));
  }

  async attempt(number: number): Promise<Tried> {
    const scope = this.#scope;
    const begun = performance.now();
    const tried = await attemptRemotely(scope, this.#site, number);
    const durationMs = performance.now() - begun;
    this.#last = tried;
    scope.clock.mark("run");
    // The work's own time is what the runner measured; the rest is the server's queue and its model.
    if (tried.result !== undefined) {
      const waitedMs = Math.max(0, durationMs - tried.result.duration_ms);
      scope.clock.phases.run -= waitedMs;
      scope.clock.phases.queue += waitedMs;
    }
    const { outcome } = tried;
    return { ...NO_EVIDENCE, outcome, timeoutMs: timeoutOf(scope), reason: outcome.error?.toJSON() };
  }

  async backOff(failed: number): Promise<boolean> {
    const { client, account } = this.#site;
    try {
      account.backoffMs.push(await client.backOff(failed, this.#scope.signal));
      return true;
    } catch {
      return false;
    }
  }

  async end(): Promise<PlaceFacts> {
    this.#stop();
    const { account } = this.#site;
    const result = this.#last?.result;
    const seen = result && { changes: result.changes, more: result.more };
    return {
      sandboxId: null,
      isolation: UNKNOWN_ISOLATION,
      egress: [],
      networkMs: 0,
      changes: this.#last?.source === "files" ? { changes: [], more: 0 } : seen,
      measured: {
        network_ms: account.networkMs,
        compute_ms: round(result?.duration_ms ?? 0),
        request_bytes: account.sentBytes,
        response_bytes: account.receivedBytes,
        remote: this.#describe(),
      },
    };
  }

  #describe(): RemoteRecord {
    const { client, agent, account } = this.#site;
    const source = this.#last?.source ?? "none";
    const unknown = [
      ...ALWAYS_UNKNOWN,
      ...(source === "runner" ? [] : TIME_FIELDS),
      ...(source === "runner" || source === "files" ? [] : FILE_FIELDS),
    ];
    const runMs = this.#last?.result?.duration_ms;
    return account.describe({
      url: client.url,
      agent,
      source,
      unknown,
      not_enforced: NOT_ENFORCED,
      ...(runMs === undefined ? {} : { run_ms: round(runMs) }),
    });
  }
}
