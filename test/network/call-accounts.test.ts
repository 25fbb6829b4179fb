import fc from "fast-check";
import { expect, test } from "vitest";
import { BusyTime } from "../../src/network/account/busy-time.ts";
import { EgressLedger } from "../../src/network/account/call-accounts.ts";
import { ConnectionMeter } from "../../src/network/account/connection-meter.ts";

const place = { host: "a.example", port: 443 };

function makeClock(): { now: number; read: () => number } {
  const clock = { now: 0, read: () => clock.now };
  return clock;
}

function makeMeter(
  clock: { read: () => number },
  ledger = new EgressLedger(),
  authority = place,
): { ledger: EgressLedger; meter: ConnectionMeter } {
  const meter = new ConnectionMeter(ledger.open("call"), authority, clock.read, () => {});
  return { ledger, meter };
}

test("resolving, dialling and waiting for an answer count; the idle time after an answer does not", () => {
  const clock = makeClock();
  const { ledger, meter } = makeMeter(clock);
  clock.now = 30;
  meter.dialled();
  meter.accept();
  clock.now = 100;
  meter.sent(10);
  clock.now = 300;
  meter.received(100);
  clock.now = 350;
  meter.received(100);
  clock.now = 5000;
  meter.sent(10);
  clock.now = 5040;
  meter.received(1);
  clock.now = 9000;
  meter.end();
  expect(ledger.close("call")).toEqual({
    egress: [
      { host: "a.example", port: 443, verdict: "allowed", connections: 1, tx_bytes: 20, rx_bytes: 201, wait_ms: 270 },
    ],
    networkMs: 320,
  });
});

test("a request without an answer counts up to the end of its connection, and up to now while it is open", () => {
  const clock = makeClock();
  const { ledger, meter } = makeMeter(clock);
  meter.dialled();
  meter.accept();
  meter.sent(1);
  clock.now = 40;
  expect(ledger.peek("call").networkMs).toBe(40);
  clock.now = 100;
  meter.end();
  clock.now = 1000;
  expect(ledger.peek("call")).toMatchObject({ networkMs: 100, egress: [{ wait_ms: 100 }] });
});

test("overlapping connections count once in network_ms and each in wait_ms", () => {
  const clock = makeClock();
  const ledger = new EgressLedger();
  const first = makeMeter(clock, ledger).meter;
  clock.now = 50;
  const second = makeMeter(clock, ledger, { host: "b.example", port: 80 }).meter;
  clock.now = 100;
  first.refuse("failed", "no route");
  clock.now = 150;
  second.dialled();
  second.accept();
  expect(ledger.close("call")).toMatchObject({
    networkMs: 150,
    egress: [
      { host: "a.example", verdict: "failed", reason: "no route", wait_ms: 100 },
      { host: "b.example", verdict: "allowed", wait_ms: 100 },
    ],
  });
});

test("connections left over by a closed call count for nobody", () => {
  const clock = makeClock();
  const { ledger, meter } = makeMeter(clock);
  meter.dialled();
  meter.accept();
  ledger.close("call");
  meter.sent(5);
  clock.now = 10;
  meter.received(5);
  expect(ledger.peek("call")).toEqual({ egress: [], networkMs: 0 });
});

test("a call has at most 256 rows; further hosts are counted together", () => {
  const ledger = new EgressLedger();
  for (let i = 0; i < 1000; i++) ledger.open("call").refuse({ host: `h${i}.example`, port: 443 }, "denied", "no");
  const { egress } = ledger.close("call");
  expect(egress.length).toBeLessThanOrEqual(256);
  expect(egress.at(-1)).toMatchObject({ host: "*", verdict: "denied" });
  expect(egress.reduce((sum, row) => sum + row.connections, 0)).toBe(1000);
});

test("the union of intervals has the length that counting milliseconds gives", () => {
  const interval = fc.tuple(fc.nat(300), fc.nat(60));
  fc.assert(
    fc.property(fc.array(interval, { maxLength: 40 }), (intervals) => {
      const busy = new BusyTime();
      const covered = new Set<number>();
      for (const [start, length] of intervals.toSorted((a, b) => a[0] + a[1] - b[0] - b[1])) {
        busy.add(start, start + length);
        for (let ms = start; ms < start + length; ms++) covered.add(ms);
      }
      expect(busy.totalMs).toBe(covered.size);
    }),
  );
});

test("a hundred thousand disjoint intervals are summed in bounded memory", () => {
  const busy = new BusyTime();
  for (let i = 0; i < 100_000; i++) busy.add(i * 2, i * 2 + 1);
  expect(busy.totalMs).toBe(100_000);
});
