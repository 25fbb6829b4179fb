import { expect, test } from "vitest";
import { interleave, resolveName } from "../../src/network/address/resolver.ts";

const signal = new AbortController().signal;

test("both families take turns, IPv4 first", () => {
  expect(interleave(["1.1.1.1", "1.0.0.1", "1.2.3.4"], ["2606::1"])).toEqual([
    "1.1.1.1",
    "2606::1",
    "1.0.0.1",
    "1.2.3.4",
  ]);
  expect(interleave([], ["2606::1"])).toEqual(["2606::1"]);
});

test("a trusted name resolves as the host's own programs resolve it", async () => {
  const answers = await resolveName("localhost", { signal, isTrusted: true });
  expect(answers.some((address) => address === "127.0.0.1" || address === "::1")).toBe(true);
});

test("an aborted resolution is cancelled at once", async () => {
  const controller = new AbortController();
  const resolving = resolveName("slow.example", { signal: controller.signal, isTrusted: false });
  controller.abort();
  await expect(resolving).rejects.toThrow();
});
