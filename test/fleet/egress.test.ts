import { expect, test } from "vitest";
import { EgressPolicies } from "../../src/fleet/make/egress.ts";

test("egress policies - a registry that takes no connection is told at once, by name", async () => {
  const policies = new EgressPolicies([], {
    ...process.env,
    PIP_INDEX_URL: "http://127.0.0.1:9/simple",
    npm_config_registry: "http://127.0.0.1:9/",
  });
  await expect(policies.assertReachable("npm")).rejects.toMatchObject({ code: "registry_unreachable" });
  await expect(policies.assertReachable("pypi")).rejects.toMatchObject({ code: "registry_unreachable" });
});
