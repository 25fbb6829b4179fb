import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ListedImage } from "../../src/fleet/environments/images.ts";
import type { TaskResult } from "../../src/model/result.ts";
import { renderImage } from "../../src/setup/dockerfile.ts";
import { loadPlan } from "../../src/setup/plans.ts";
import { runCli } from "../support/cli.ts";
import { lacksEngine } from "../support/engine.ts";
import { runInImage } from "../support/engine-api.ts";
import { testEnv } from "../support/home.ts";
import { ensureImage } from "../support/images.ts";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "paddock-images-cli-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("images cli - a driver without images says where its environments are", async () => {
  const { code, stderr } = await runCli(["images", "list", "--driver", "bubblewrap"]);
  expect(code).toBe(69);
  expect(stderr).toContain("paddock templates");
});

test("images cli - an unknown image is a usage error that lists the known ones", async () => {
  const { code, stderr } = await runCli(["images", "build", "cobol"]);
  expect(code).toBe(64);
  expect(stderr).toContain("base, python, javascript, file, web");
});

describe.skipIf(lacksEngine())("images cli", () => {
  beforeAll(async () => void (await ensureImage("javascript")), 280_000);

  test("images cli - context writes what the Dockerfile needs, and nothing into a folder in use", async () => {
    const target = join(folder, "context");
    expect((await runCli(["images", "context", "web", target])).code).toBe(0);
    expect(readdirSync(target).toSorted()).toEqual(["Dockerfile", "setup.sh"]);
    const rendered = renderImage(await loadPlan("web"));
    expect(readFileSync(join(target, "Dockerfile"), "utf8")).toBe(rendered.dockerfile);
    writeFileSync(join(target, "Dockerfile"), "mine");
    expect(await runCli(["images", "context", "web", target])).toMatchObject({
      code: 64,
      stderr: expect.stringContaining("Name a folder that is empty") as string,
    });
    expect(readFileSync(join(target, "Dockerfile"), "utf8")).toBe("mine");
  });

  test("images cli - build of what is current prints the image it named before", async () => {
    const { code, stdout, stderr } = await runCli(["images", "build", "javascript", "--json"]);
    expect(code).toBe(0);
    const [built] = JSON.parse(stdout) as ListedImage["image"][];
    expect(built?.versions).toHaveProperty("express");
    expect(stderr).not.toContain("Step ");
    const listed = JSON.parse((await runCli(["images", "list", "--json"])).stdout) as ListedImage[];
    expect(listed.find(({ image }) => image.id === built?.id)).toEqual({ image: built, state: "current" });
  });

  test("images cli - a node starts from the image, and its record names it", async () => {
    const id = await ensureImage("javascript");
    const source = "import express from 'express'; console.log(typeof express)";
    const args = ["run", "--driver", "docker", "--type", "javascript", "--json", "-c", source];
    const { code, stdout } = await runCli(args);
    const result = JSON.parse(stdout) as TaskResult;
    expect([code, result.tool_calls[0]?.stdout.text]).toEqual([0, "function\n"]);
    expect(result.tool_calls[0]?.isolation).toMatchObject({ driver: "docker", image: id });
  });

  test("images cli - no file of an environment tells which registry it came from", async () => {
    const id = await ensureImage("javascript");
    const { output } = await runInImage(id, ["grep", "-rlF", '"resolved": "http', "/opt/paddock/env"]);
    expect(output).toBe("");
  });

  test("images cli - without apt and mmdebstrap --bootstrap says what it needs", async () => {
    const env = { ...testEnv(), PATH: join(folder, "empty") };
    const { code, stderr } = await runCli(["images", "build", "base", "--bootstrap"], { env });
    expect(code).toBe(70);
    expect(stderr).toContain("apt-get install mmdebstrap");
  });

  test("images cli - templates are refused where nodes start from images", async () => {
    const env = { ...testEnv(), PADDOCK_DRIVER: "docker" };
    const { code, stderr } = await runCli(["templates", "list"], { env });
    expect(code).toBe(69);
    expect(stderr).toContain("paddock images");
  });
});
