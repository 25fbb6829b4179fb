import { expect, test } from "vitest";
import { summarise } from "../../src/compare/stats.ts";
import { explainKernelBug, makeTier, parseTiers } from "../../src/compare/tier.ts";

test("compare - tiers are parsed in order, each once; a driver's name means its known tiers", () => {
  const names = (text: string): string[] => parseTiers(text).map(({ name }) => name);
  expect(names("docker:crun, bubblewrap,docker:crun")).toEqual(["docker:crun", "bubblewrap"]);
  expect(names("docker")).toEqual(["docker:runc", "docker:runsc"]);
});

test.each(["", "podman", "bubblewrap:runc", "docker:", "docker:a:b", "docker:--privileged", "bubblewrap,,docker"])(
  "compare - %j is refused",
  (text) => {
    expect(() => parseTiers(text)).toThrow(expect.objectContaining({ code: "invalid_request" }));
  },
);

test("compare - p95 lies at the bad end of a row", () => {
  const samples = Array.from({ length: 100 }, (_, index) => index + 1);
  expect(summarise(samples)).toMatchObject({ n: 100, p50: 50, p95: 95, min: 1, max: 100 });
  expect(summarise(samples, "higher")).toMatchObject({ p50: 51, p95: 6, min: 1, max: 100 });
});

test("compare - the sentence on a kernel bug follows what was seen, not the runtime's name", () => {
  expect(explainKernelBug(makeTier("docker", "runsc"), "shared")).toBe(
    explainKernelBug(makeTier("bubblewrap", undefined), "shared"),
  );
  expect(explainKernelBug(makeTier("docker", "runsc"), "own")).toContain("gVisor");
});
