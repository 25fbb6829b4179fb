import type { EgressRecord } from "../../model/record.ts";
import type { Authority } from "../address/authority.ts";
import { BusyTime } from "./busy-time.ts";

/** Leaves room for the row that stands for the rest, one per verdict. */
const MAX_NAMED_ROWS = 256 - 3;
const MAX_HOST_LENGTH = 253;
/** Stands for every host beyond the row limit. */
const REST: Authority = { host: "*", port: 0 };

type Verdict = EgressRecord["verdict"];

export interface EgressRow {
  readonly host: string;
  readonly port: number;
  readonly verdict: Verdict;
  readonly reason: string | undefined;
  connections: number;
  txBytes: number;
  rxBytes: number;
  waitMs: number;
}

export interface EgressAccount {
  readonly egress: EgressRecord[];
  readonly networkMs: number;
}

/** Everything one call did on the network. */
export class CallAccount {
  readonly busy = new BusyTime();
  /** Connections that are still open. */
  readonly meters = new Set<{ flush(): void }>();
  readonly #rows = new Map<string, EgressRow>();

  /** The row of a host, port and verdict; its reason is the first one given. */
  row(authority: Authority, verdict: Verdict, reason?: string): EgressRow {
    const known = this.#rows.get(rowKey(authority, verdict));
    if (known) return known;
    const isRest = this.#rows.size >= MAX_NAMED_ROWS && authority !== REST;
    if (isRest) return this.row(REST, verdict, reason);
    const { host, port } = authority;
    const row = {
      host: host.slice(0, MAX_HOST_LENGTH),
      port,
      verdict,
      reason,
      connections: 0,
      txBytes: 0,
      rxBytes: 0,
      waitMs: 0,
    };
    this.#rows.set(rowKey(authority, verdict), row);
    return row;
  }

  /** A request that was answered without any connection. */
  refuse(authority: Authority, verdict: "denied" | "failed", reason: string): void {
    this.row(authority, verdict, reason).connections += 1;
  }

  summarise(): EgressAccount {
    for (const meter of this.meters) meter.flush();
    return { egress: [...this.#rows.values()].map(toRecord), networkMs: roundMs(this.busy.totalMs) };
  }
}

const rowKey = ({ host, port }: Authority, verdict: Verdict): string => `${verdict} ${port} ${host}`;

function toRecord(row: EgressRow): EgressRecord {
  return {
    host: row.host,
    port: row.port,
    verdict: row.verdict,
    ...(row.reason === undefined ? {} : { reason: row.reason }),
    connections: row.connections,
    tx_bytes: row.txBytes,
    rx_bytes: row.rxBytes,
    wait_ms: roundMs(row.waitMs),
  };
}

const roundMs = (ms: number): number => Math.round(ms * 1000) / 1000;
