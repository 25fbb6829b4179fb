import { existsSync } from "node:fs";
import { test } from "vitest";
import { loadConfig } from "../../../src/config/config.ts";
import { openDriver } from "../../../src/drivers/registry.ts";
import { SKIPS } from "./expected.ts";
import { testDriverConformance } from "./suite.ts";

const SOCKETS = ["/run/podman/podman.sock", `${process.env["XDG_RUNTIME_DIR"] ?? "/nowhere"}/podman/podman.sock`];
const socket = SOCKETS.find((path) => existsSync(path));

// Podman is nothing that the set-up installs: where nobody runs it, this is no gap in the run.
if (socket === undefined) {
  test.skip(`driver podman: no socket at ${SOCKETS.join(" or ")}`, () => undefined);
} else {
  testDriverConformance({
    name: "podman",
    open: async (home) => {
      const env = { PADDOCK_HOME: home.root, PADDOCK_DRIVER: "docker", DOCKER_HOST: `unix://${socket}` };
      return await openDriver(loadConfig(env, process.getuid?.() ?? 0), env);
    },
    isolation: { workspace: "polled" },
    skips: SKIPS["podman"] ?? {},
  });
}
