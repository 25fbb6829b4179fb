import { describe } from "vitest";
import { lacks } from "../../support/needs.ts";
import { SKIPS } from "./expected.ts";
import { open } from "./subjects/bubblewrap.ts";
import { testDriverConformance } from "./suite.ts";

describe.skipIf(lacks(process.getuid?.() === 0, "root"))("conformance", () => {
  testDriverConformance({
    name: "bubblewrap",
    open,
    module: new URL("./subjects/bubblewrap.ts", import.meta.url).href,
    skips: SKIPS["bubblewrap"] ?? {},
  });
});
