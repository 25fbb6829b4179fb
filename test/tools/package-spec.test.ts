import fc from "fast-check";
import { expect, test } from "vitest";
import { findInstallerFailure } from "../../src/tools/installer-failure.ts";
import { isNpmSpec, isPipSpec } from "../../src/tools/package-spec.ts";

test.each([
  "six",
  "pandas==3.1.1",
  "scikit-learn>=1.0,<2",
  "uvicorn[standard]~=0.30",
  "torch==2.1.0+cpu",
  "zope.interface",
  "a",
  "Django!=5.0.1",
  "https://files.example/pkgs/six-1.17.0-py2.py3-none-any.whl",
  `https://files.example/six.whl#sha256=${"a".repeat(64)}`,
])("package spec - pip takes %s", (spec) => {
  expect(isPipSpec(spec)).toBe(true);
});

test.each([
  "express",
  "express@5",
  "express@^5.0.0",
  "express@~5.1",
  "express@>=4",
  "express@latest",
  "@types/node@24.19.2",
  "typescript@5.x",
  "lodash.merge",
  "https://registry.example/express/-/express-5.3.0.tgz",
])("package spec - npm takes %s", (spec) => {
  expect(isNpmSpec(spec)).toBe(true);
});

test.each([
  "",
  "-r",
  "--help",
  "-e.",
  ".",
  "./x",
  "../x",
  "/etc",
  "~/x",
  "a b",
  "a;id",
  "a&&id",
  "$(id)",
  "`id`",
  "a|b",
  "a\nb",
  "a>b c",
  "a'b",
  'a"b',
  "a==",
  "six==1.0 ",
  "git+https://h/x.git",
  "http://h/x.whl",
  "https://user:pw@h/x.whl",
  "https://h/x.whl?token=1",
  "file:///etc/passwd",
  "six @ https://h/x.whl",
  "evil.whl",
  "evil.tar.gz",
  "evil.zip",
  "user/repo",
  "github:user/repo",
  "alias@npm:real@1",
  "@scope",
  "@scope/",
  "a@",
  "a@b@c",
])("package spec - neither takes %j", (spec) => {
  expect([isPipSpec(spec), isNpmSpec(spec)]).toEqual([false, false]);
});

test("package spec - whatever is accepted is one plain argument that no installer reads as option, path or shell text", () => {
  const arbitrary = fc.oneof(
    fc.string({ maxLength: 40 }),
    fc.string({ unit: fc.constantFrom(..."abAB019._-@/=<>~^![],:+#%* \n$`'\"\\".split("")), maxLength: 40 }),
    fc
      .tuple(fc.constantFrom("six", "@a/b", "https://h/p"), fc.string({ maxLength: 20 }))
      .map(([start, rest]) => start + rest),
  );
  fc.assert(
    fc.property(arbitrary, (spec) => {
      if (!isPipSpec(spec) && !isNpmSpec(spec)) return;
      expect(spec).not.toMatch(/^[-./~]|[\s$`'"\\;&|(){}?\0]/);
      if (!spec.startsWith("https://")) expect(spec).not.toMatch(/^[^@].*\/|:|\.(whl|zip|tgz|gz)$/);
    }),
    { numRuns: 5000 },
  );
});

test("installer failure - denied, full, transient and other failures are told apart by their texts", () => {
  expect(findInstallerFailure("OSError('Tunnel connection failed: 403 Egress denied by none: pypi.org:443')")).toEqual({
    verdict: "denied",
  });
  expect(findInstallerFailure("npm error 403 403 Egress denied by none - GET https://r/express")).toEqual({
    verdict: "denied",
  });
  for (const text of [
    "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
    "npm error code ENOSPC",
  ]) {
    expect(findInstallerFailure(text), text).toEqual({ verdict: "disk" });
  }
  for (const text of [
    "npm error code ECONNRESET",
    "npm error code E503",
    "npm error network request to https://r/x failed",
    "WARNING: Retrying after connection broken by 'ReadTimeoutError(...)'",
    "ERROR: HTTP error 503 while getting x\n503 Server Error: busy",
    "Tunnel connection failed: 502 Egress failed: no answer",
  ]) {
    expect(findInstallerFailure(text), text).toEqual({ retryable: true });
  }
  for (const text of [
    "npm error code ETARGET",
    "ERROR: No matching distribution found for x",
    "npm error code E404",
    "",
  ]) {
    expect(findInstallerFailure(text), text).toEqual({});
  }
});
