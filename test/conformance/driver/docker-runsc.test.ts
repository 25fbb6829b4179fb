import { testDockerConformance } from "./docker-conformance.ts";
import { open } from "./subjects/docker-runsc.ts";

testDockerConformance("runsc", open, new URL("./subjects/docker-runsc.ts", import.meta.url));
