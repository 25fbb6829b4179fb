import { testDockerConformance } from "./docker-conformance.ts";
import { open } from "./subjects/docker-runc.ts";

testDockerConformance("runc", open, new URL("./subjects/docker-runc.ts", import.meta.url));
