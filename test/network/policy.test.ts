import fc from "fast-check";
import { expect, test } from "vitest";
import { PaddockError } from "../../src/errors/error.ts";
import { compilePolicy, parsePolicy } from "../../src/network/policy/policy.ts";

const compile = (text: string | readonly string[]) => compilePolicy(parsePolicy(text));
const allows = (policy: string, host: string, port: number): boolean => compile(policy).decide({ host, port }).allowed;

test.each([
  ["none", "none"],
  ["PyPI, npm", "pypi,npm"],
  ["Example.COM., *.Example.com:8443", "example.com,*.example.com:8443"],
  ["203.0.113.9:8080,[2001:DB8::1]:443", "203.0.113.9:8080,[2001:db8::1]:443"],
  ["a.example,A.EXAMPLE", "a.example"],
])("the policy %j reads as %j", (raw, text) => {
  expect(parsePolicy(raw).text).toBe(text);
  expect(parsePolicy(parsePolicy(raw).text)).toEqual(parsePolicy(raw));
});

test("an array is the same policy as the list written with commas", () => {
  expect(parsePolicy(["pypi", "example.com:81"])).toEqual(parsePolicy("pypi,example.com:81"));
  expect(parsePolicy([])).toEqual(parsePolicy("none"));
});

const breaches: [entry: string, rule: RegExp][] = [
  ["", /not empty/],
  ["none,pypi", /stands alone/],
  ["https://example.com", /scheme/],
  ["10.0.0.0/8", /ranges/],
  ["2001:db8::1", /brackets/],
  ["*", /labels/],
  ["*.com", /registered name/],
  ["*.co.uk", /registered name/],
  ["*.1.2.3.4", /not an address/],
  ["a*.example.com", /labels/],
  ["example.com:70000", /port/],
  ["2130706433", /number/],
  ["user@example.com", /labels/],
  ["exämple.com", /ASCII/],
];
test.each(breaches)("the entry %j is refused by name and rule", (entry, rule) => {
  const error = thrownBy(() => parsePolicy(entry));
  expect(error).toMatchObject({ code: "invalid_policy" });
  expect(error.message).toMatch(rule);
  expect(error.message).toContain(JSON.stringify(entry.split(",")[0]));
});

test("a policy of 1,000 entries is taken and one more is refused", () => {
  const entries = Array.from({ length: 1000 }, (_, i) => `h${i}.example`);
  expect(parsePolicy(entries).entries).toHaveLength(1000);
  expect(thrownBy(() => parsePolicy([...entries, "one-more.example"])).message).toContain("1000");
});

test.each([
  ["example.com", "example.com", 80, true],
  ["example.com", "example.com", 443, true],
  ["example.com", "example.com", 8080, false],
  ["example.com:8080", "example.com", 443, false],
  ["example.com", "www.example.com", 443, false],
  ["example.com", "evilexample.com", 443, false],
  ["example.com", "example.com.evil.net", 443, false],
  ["*.example.com", "a.example.com", 443, true],
  ["*.example.com", "a.b.example.com", 443, true],
  ["*.example.com", "example.com", 443, false],
  ["*.example.com", "evilexample.com", 443, false],
  ["*.example.com", "*.example.com", 443, false],
  ["*.example.com", ".example.com", 443, false],
  ["203.0.113.9:8080", "203.0.113.9", 8080, true],
  ["203.0.113.9:8080", "203.0.113.90", 8080, false],
  ["[2001:db8::1]:443", "2001:db8::1", 443, true],
  ["pypi", "files.pythonhosted.org", 443, true],
  ["pypi", "files.pythonhosted.org", 80, false],
  ["pypi", "registry.npmjs.org", 443, false],
  ["none", "example.com", 443, false],
  ["example.com", "EXAMPLE.com", 443, false],
] as const)("policy %j and %s:%i: allowed is %j", (policy, host, port, expected) => {
  expect(allows(policy, host, port)).toBe(expected);
});

test("a denial names the policy and the place", () => {
  expect(compile("pypi").decide({ host: "example.com", port: 443 })).toEqual({
    allowed: false,
    reason: 'policy "pypi": example.com:443 is not listed',
  });
});

test("a trusted upstream allows nothing that no rule names", () => {
  const trusted = [{ name: "data.local", port: 8000, address: "127.0.0.1" }];
  const place = { host: "data.local", port: 8000 };
  expect(compilePolicy(parsePolicy("none"), { trusted }).decide(place).allowed).toBe(false);
  expect(compilePolicy(parsePolicy("data.local:8000"), { trusted }).decide(place)).toEqual({
    allowed: true,
    rule: "data.local:8000",
    trusted: trusted[0],
  });
  const otherPort = compilePolicy(parsePolicy("data.local:8001"), { trusted }).decide({ ...place, port: 8001 });
  expect(otherPort).toEqual({ allowed: true, rule: "data.local:8001" });
});

test("a preset's upstreams are allowed and trusted at their port only", () => {
  const presets = { pypi: [{ name: "Mirror.corp.example", port: 8443 }], npm: [] };
  const policy = compilePolicy(parsePolicy("pypi"), { presets });
  expect(policy.decide({ host: "mirror.corp.example", port: 8443 })).toMatchObject({
    allowed: true,
    rule: "pypi",
    trusted: presets.pypi[0],
  });
  expect(policy.decide({ host: "mirror.corp.example", port: 443 }).allowed).toBe(false);
  expect(policy.decide({ host: "pypi.org", port: 443 }).allowed).toBe(false);
});

test("a trusted upstream that is not a host and port is refused as configuration", () => {
  const trusted = [{ name: "data local", port: 1 }];
  expect(() => compilePolicy(parsePolicy("none"), { trusted })).toThrow(
    expect.objectContaining({ code: "invalid_config" }),
  );
});

test("the shown text of a long policy is bounded", () => {
  const policy = compile(Array.from({ length: 500 }, (_, i) => `host-number-${i}.example`));
  expect(policy.shown.length).toBeLessThan(200);
  expect(policy.shown).toMatch(/\.\.\. \(500 entries\)$/);
});

test("no text makes the grammar throw anything but invalid_policy, and nothing is allowed that no entry names", () => {
  const entry = fc.oneof(
    fc.domain(),
    fc.domain().map((name) => `*.${name}`),
    fc.ipV4(),
    fc.ipV6().map((ip) => `[${ip}]:443`),
    fc.constantFrom("none", "pypi", "npm", "*", "*.", "a:b:c", "[", "]", "%", "\0"),
    fc.string({ unit: "binary", maxLength: 40 }),
  );
  const host = fc.oneof(fc.domain(), fc.ipV4(), fc.string({ unit: "binary", maxLength: 40 }));
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 6 }), host, (entries, candidate) => {
      const source = parseOrBreach(entries);
      if (!source) return;
      const decision = compilePolicy(source).decide({ host: candidate, port: 443 });
      if (!decision.allowed) return;
      expect(source.entries.map((named) => named.text)).toContain(decision.rule);
      const suffix = decision.rule.replace(/^\*|:\d+$/g, "");
      const isNamed = decision.rule.startsWith("*.") ? candidate.endsWith(suffix) : candidate === suffix;
      expect(isNamed || decision.rule === "pypi" || decision.rule === "npm").toBe(true);
    }),
    { numRuns: 5000 },
  );
});

function parseOrBreach(entries: readonly string[]): ReturnType<typeof parsePolicy> | undefined {
  try {
    return parsePolicy(entries);
  } catch (thrown) {
    expect(thrown).toMatchObject({ code: "invalid_policy" });
    return undefined;
  }
}

function thrownBy(run: () => unknown): PaddockError {
  try {
    run();
  } catch (thrown) {
    if (thrown instanceof PaddockError) return thrown;
    throw thrown;
  }
  throw new Error("nothing was thrown");
}
