import { expect, test } from "vitest";
import { showCommands } from "../../src/cli/render/guest-output.ts";

test("guest output - on a terminal colours pass and everything that commands it is shown", () => {
  expect(showCommands("\u001b[1;31mred\u001b[0m\tx\r\n")).toBe("\u001b[1;31mred\u001b[0m\tx\r\n");
  expect(showCommands("\u001b]0;title\u0007\u001b[2J\u009b1mx\u0008")).toBe("\\x1b]0;title\\x07\\x1b[2J\\x9b1mx\\x08");
});
