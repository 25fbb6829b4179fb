import { testDockerConformance } from "./docker-conformance.ts";
import { chooseGroups } from "./groups.ts";
import { open } from "./subjects/docker-runsc.ts";

testDockerConformance("runsc", open, new URL("./subjects/docker-runsc.ts", import.meta.url), {
  // Its kernel is one process of the host, whose uid is not the guest's.
  isolation: { distinct_uid: false },
  ...chooseGroups(["lifecycle", "network", "limits", "kill", "pause", "isolation"]),
});
