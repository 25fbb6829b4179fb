import { expect, test } from "vitest";
import { PaddockError } from "../../src/errors/error.ts";
import { decideVerdict, describeVerdict, type Evidence } from "../../src/executor/verdict.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import type { EgressRecord } from "../../src/model/record.ts";
import type { Verdict } from "../../src/model/verdict.ts";
import type { ToolOutcome } from "../../src/tools/tool.ts";

const EMPTY = { text: "", total_bytes: 0, dropped_bytes: 0 };
const DENIED: EgressRecord = {
  host: "h",
  port: 443,
  verdict: "denied",
  reason: "not listed",
  connections: 1,
  tx_bytes: 0,
  rx_bytes: 0,
  wait_ms: 0,
};

function outcome(fields: Partial<ToolOutcome>): ToolOutcome {
  return { ended: "exit", stdout: EMPTY, stderr: EMPTY, requestBytes: 0, responseBytes: 0, ...fields };
}

function evidence(fields: Partial<Evidence> & { outcome: ToolOutcome }): Evidence {
  return { before: {}, after: {}, egress: [], outputExceeded: false, diskFull: false, ...fields };
}

const oomRose = { before: { oomKills: 0 }, after: { oomKills: 1 } };
const pidsRose = { before: { pidsRefused: 1 }, after: { pidsRefused: 3 } };
const lost = (code: "protocol_error" | "supervisor_lost" | "sandbox_lost") =>
  outcome({ ended: "lost", error: new PaddockError(code, "x") });

const CASES: readonly [string, Evidence, Verdict][] = [
  ["exit 0", evidence({ outcome: outcome({ exitCode: 0 }) }), "ok"],
  ["exit 0 though a child was killed for memory", evidence({ outcome: outcome({ exitCode: 0 }), ...oomRose }), "ok"],
  ["exit 3", evidence({ outcome: outcome({ exitCode: 3 }) }), "nonzero"],
  ["an unknown exit code is never ok", evidence({ outcome: outcome({}) }), "nonzero"],
  ["a guest's own exit 137", evidence({ outcome: outcome({ exitCode: 137 }) }), "nonzero"],
  ["killed, and the memory counter rose", evidence({ outcome: outcome({ signal: "KILL" }), ...oomRose }), "oom"],
  ["memory wins over a lost supervisor", evidence({ outcome: lost("supervisor_lost"), ...oomRose }), "oom"],
  ["deadline", evidence({ outcome: outcome({ ended: "deadline" }) }), "timeout"],
  ["cancel", evidence({ outcome: outcome({ ended: "cancel" }) }), "cancelled"],
  ["protocol breach", evidence({ outcome: lost("protocol_error") }), "platform"],
  ["silent supervisor", evidence({ outcome: lost("supervisor_lost") }), "platform"],
  ["lost sandbox", evidence({ outcome: lost("sandbox_lost") }), "lost"],
  ["fork refused and failed", evidence({ outcome: outcome({ exitCode: 1 }), ...pidsRose }), "pids"],
  ["full disk and failed", evidence({ outcome: outcome({ exitCode: 1 }), diskFull: true }), "disk"],
  ["file size signal", evidence({ outcome: outcome({ signal: "XFSZ" }) }), "disk"],
  ["denied egress and failed", evidence({ outcome: outcome({ exitCode: 1 }), egress: [DENIED] }), "denied"],
  ["denied egress that did not matter", evidence({ outcome: outcome({ exitCode: 0 }), egress: [DENIED] }), "ok"],
  ["output above its limit", evidence({ outcome: outcome({ ended: "cancel" }), outputExceeded: true }), "output"],
];

test.each(CASES)("verdict - %s", (_name, facts, expected) => {
  expect(decideVerdict(facts)).toBe(expected);
});

test("verdict - every failure but a plain nonzero says what was hit and what to change", () => {
  for (const [, facts, verdict] of CASES) {
    const described = describeVerdict(verdict, facts, DEFAULT_LIMITS, 1000);
    if (verdict === "ok" || verdict === "nonzero") expect(described).toBeUndefined();
    else expect(described?.hint.length).toBeGreaterThan(10);
  }
});
