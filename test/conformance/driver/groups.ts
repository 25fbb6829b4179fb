import { IS_SOAK } from "../../support/soak.ts";
import type { CheckGroup, DriverSubject } from "./subject.ts";

/**
 * What `npm test` runs of a driver that shares its code with one that is examined in full; the soak runs all. Under
 * gVisor: what its own kernel does. Over standard streams: what goes another way there.
 */
export function chooseGroups(groups: readonly CheckGroup[]): Pick<DriverSubject, "groups"> {
  return IS_SOAK ? {} : { groups };
}
