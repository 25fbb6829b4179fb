import { createPaddock } from "../../src/index.ts";

/** A library process with work in two sandboxes, for tests that kill it. */
await using paddock = await createPaddock();
const idle = paddock.open({ nodeType: "file", bare: true });
const task = paddock.run(
  { code: { language: "python", source: "import time\nprint('on', flush=True)\ntime.sleep(60)" }, bare: true },
  { onEvent: (event) => (event.type === "output" ? void process.stdout.write(event.chunk) : undefined) },
);
await Promise.all([idle, task]);
