import { expect, test } from "vitest";
import { tellError, tellRecorded } from "../../src/agents/told.ts";
import { PaddockError, toPaddockError } from "../../src/errors/error.ts";

test("told - what a defect says of the host is for the log; what concerns the task is told", () => {
  const defect = toPaddockError(new Error("ENOENT: no such file or directory, lstat '/srv/paddock/secret'"));
  const told = tellError(defect);
  expect(JSON.stringify([told, tellRecorded(defect.toJSON())])).not.toContain("/srv");
  expect([told.code, told.cause]).toEqual(["internal", defect]);
  const spoken = new PaddockError("no_space", "the workspace is full");
  expect(tellError(spoken)).toBe(spoken);
  expect(tellRecorded(spoken.toJSON())).toEqual(spoken.toJSON());
});
