import { testDockerConformance } from "./docker-conformance.ts";
import { chooseGroups } from "./groups.ts";
import { open } from "./subjects/docker-runsc-stdio.ts";

testDockerConformance("runsc-stdio", open, new URL("./subjects/docker-runsc-stdio.ts", import.meta.url), {
  // Its kernel is one process of the host, whose uid is not the guest's.
  isolation: { distinct_uid: false },
  ...chooseGroups(["lifecycle", "processes", "network"]),
});
