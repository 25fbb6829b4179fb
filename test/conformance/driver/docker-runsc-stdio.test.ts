import { testDockerConformance } from "./docker-conformance.ts";
import { open } from "./subjects/docker-runsc-stdio.ts";

testDockerConformance("runsc-stdio", open, new URL("./subjects/docker-runsc-stdio.ts", import.meta.url));
