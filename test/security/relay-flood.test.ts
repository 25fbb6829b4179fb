import { afterAll, beforeAll, expect, test } from "vitest";
import type { App } from "../../src/app.ts";
import { describeDrivers } from "../support/drivers.ts";
import { openTestApp } from "../support/home.ts";
import { openLease } from "./open-lease.ts";

describeDrivers((driver) => {
  let app: App;
  beforeAll(async () => {
    app = await openTestApp(driver.config);
  });
  afterAll(async () => {
    await app[Symbol.asyncDispose]();
  });

  /** Opens connections to the way out for a second and hangs up at once, with or without a word. */
  const hangUp = (word: string): string => `
import os, socket, time
port = int(os.environ["HTTP_PROXY"].rsplit(":", 1)[1])
end = time.monotonic() + 1
while time.monotonic() < end:
    try:
        way_out = socket.create_connection(("127.0.0.1", port), timeout=1)
        way_out.sendall(b"${word}")
        way_out.close()
    except OSError:
        time.sleep(0.01)
`;

  const ASK = `
import os, socket
port = int(os.environ["HTTP_PROXY"].rsplit(":", 1)[1])
way_out = socket.create_connection(("127.0.0.1", port))
way_out.sendall(b"GET http://host.invalid/ HTTP/1.1\\r\\nHost: host.invalid\\r\\n\\r\\n")
print(way_out.recv(100).decode())
`;

  test.for(["", "GET"])(
    "relay flood - connections hung up by one call after '%s' do not keep out those of the next",
    async (word) => {
      await using lease = await openLease(app, "file");
      const run = async (program: string): Promise<string> => {
        const argv = ["/usr/bin/python3", "-I", "-c", program];
        const result = await lease.sandbox.runProcess({ argv, deadlineMs: 20_000 });
        expect(result.stderr.text).toBe("");
        return result.stdout.text;
      };
      await run(hangUp(word));
      expect(await run(ASK)).toContain("403");
    },
  );
});
