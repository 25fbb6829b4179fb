import fc from "fast-check";
import { expect, test } from "vitest";
import { canonicaliseName, formatAuthority, parseAuthority } from "../../src/network/address/authority.ts";

test.each([
  ["Example.COM", "example.com"],
  ["example.com.", "example.com"],
  ["_dmarc.a-b.example", "_dmarc.a-b.example"],
  ["xn--bcher-kva.example", "xn--bcher-kva.example"],
  ["localhost", "localhost"],
])("the name %j is canonically %j", (text, canonical) => {
  expect(canonicaliseName(text)).toEqual({ ok: true, value: canonical });
});

const hostile = [
  ...["", ".", "a..b", ".a", "example.com..", `${"a".repeat(64)}.com`, `${"a.".repeat(126)}com`, "[example.com]"],
  ...["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0x7f.1", "0", "example.0x7f", "1.2.3.4.5", "a.1"],
  ...[
    "127.0.0.1\0.example.com",
    "example.com\0",
    "exa mple.com",
    "a%2eb.com",
    "user@example.com",
    "::1%lo",
    "a/b",
    "a\r\nb",
  ],
  ...["１２７.0.0.1", "①②⑦.0.0.1", "127。0。0。1", "exämple.com", "example.com\u00a0"],
];
test.each(hostile)("the name %j is refused", (text) => {
  expect(canonicaliseName(text).ok).toBe(false);
});

test.each([
  ["example.com:8080", undefined, "example.com:8080"],
  ["example.com", 80, "example.com:80"],
  ["203.0.113.9:1", undefined, "203.0.113.9:1"],
  ["[2001:DB8:0::1]:443", undefined, "[2001:db8::1]:443"],
  ["[::ffff:127.0.0.1]:443", undefined, "[::ffff:7f00:1]:443"],
] as const)("the authority %j with default port %j is %j", (text, defaultPort, canonical) => {
  const parsed = parseAuthority(text, defaultPort);
  expect(parsed.ok && formatAuthority(parsed.value)).toBe(canonical);
});

const hostileAuthorities = [
  ...[
    "example.com",
    "example.com:",
    "example.com:0",
    "example.com:65536",
    "example.com:080",
    "example.com:+80",
    "example.com:8o",
  ],
  ...[
    "2001:db8::1",
    "[fe80::1%eth0]:443",
    "[::1",
    "[::1]443",
    "[127.0.0.1]:80",
    "a:b:80",
    "user:pass@example.com:80",
    ":80",
  ],
];
test.each(hostileAuthorities)("the authority %j is refused", (text) => {
  expect(parseAuthority(text).ok).toBe(false);
});

test("canonicalising twice changes nothing, and the result holds only the name's alphabet", () => {
  const name = fc.oneof(
    fc.domain(),
    fc.string({ unit: "binary", maxLength: 300 }),
    fc.stringMatching(/^[A-Za-z0-9._%@[\]-]{0,80}$/),
  );
  fc.assert(
    fc.property(name, (text) => {
      const once = canonicaliseName(text);
      if (!once.ok) return;
      expect(once.value).toMatch(/^[a-z0-9_.-]{1,253}$/);
      expect(canonicaliseName(once.value)).toEqual(once);
    }),
    { numRuns: 5000 },
  );
});

test("an authority that parses prints as text that parses to itself", () => {
  const host = fc.oneof(
    fc.domain(),
    fc.ipV4(),
    fc.ipV6().map((ip) => `[${ip}]`),
  );
  fc.assert(
    fc.property(host, fc.integer({ min: 1, max: 65_535 }), (text, port) => {
      const parsed = parseAuthority(`${text}:${port}`);
      if (parsed.ok) expect(parseAuthority(formatAuthority(parsed.value))).toEqual(parsed);
    }),
  );
});
