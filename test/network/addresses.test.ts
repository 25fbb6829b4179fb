import { networkInterfaces } from "node:os";
import fc from "fast-check";
import { expect, test } from "vitest";
import { findDenial, formatIp, isDeniedAddress, isSameIp, parseIp } from "../../src/network/address/addresses.ts";

const edges = [
  ...[
    "0.0.0.0",
    "0.255.255.255",
    "10.0.0.0",
    "10.255.255.255",
    "100.64.0.0",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.255",
  ],
  ...[
    "169.254.169.254",
    "172.16.0.0",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.255.255",
    "198.18.0.0",
  ],
  ...["198.19.255.255", "198.51.100.7", "203.0.113.255", "224.0.0.1", "240.0.0.1", "255.255.255.255", "168.63.129.16"],
  ...[
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::ffff:7f00:1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
  ],
  ...["100::1", "2001::1", "2001:1ff::1", "2001:db8::1", "2002:7f00:1::", "3fff::1", "5f00::1", "fc00::1", "fdff::1"],
  ...["fe80::1", "febf::1", "fec0::1", "ff02::1", "fe80::1%eth0", "not an address", "127.1", ""],
];
test.each(edges)("the address %j is denied", (ip) => {
  expect(isDeniedAddress(ip, [])).toBe(true);
});

const open = [
  ...[
    "1.1.1.1",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.1",
    "172.15.255.255",
  ],
  ...[
    "172.32.0.0",
    "192.0.1.1",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "168.63.129.17",
  ],
  ...["2001:200::1", "2001:4860:4860::8888", "2606:4700::1111", "2003::1", "2a00::1"],
];
test.each(open)("the address %j is public", (ip) => {
  expect(findDenial(ip, [])).toBeUndefined();
});

test("the host's own addresses are denied whatever they are", () => {
  expect(findDenial("8.8.8.8", ["8.8.8.8"])).toBe("an address of this host");
  expect(findDenial("8.8.8.8", ["::ffff:8.8.8.8"])).toBe("an address of this host");
  const own = Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map((entry) => entry.address));
  expect(own.length).toBeGreaterThan(0);
  for (const address of own) expect(isDeniedAddress(address)).toBe(true);
});

test("an IPv4 address is denied exactly when its number lies in a denied range", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 32 - 1 }), (bits) => {
      const [a, b] = [bits >>> 24, (bits >>> 16) & 255];
      const ip = [a, b, (bits >>> 8) & 255, bits & 255].join(".");
      const isPrivate =
        a === 10 || a === 127 || a === 0 || a >= 224 || (a === 172 && b >= 16 && b < 32) || (a === 192 && b === 168);
      if (isPrivate) expect(isDeniedAddress(ip, [])).toBe(true);
      if (a > 0 && a < 100 && a !== 10) expect(isDeniedAddress(ip, [])).toBe(false);
      expect(isDeniedAddress(`::ffff:${ip}`, [])).toBe(true);
    }),
  );
});

test("every spelling of an address is the same address", () => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (text) => {
      const value = parseIp(text);
      if (!value) return;
      expect(parseIp(formatIp(value))).toEqual(value);
      expect(isSameIp(text, formatIp(value))).toBe(true);
    }),
  );
});
