import { expect, test } from "vitest";
import { formatBytes, formatMs } from "../../src/report/format.ts";
import { escapeHtml, stackedBars } from "../../src/report/svg.ts";

test("report - text of a guest cannot become markup or control characters", () => {
  expect(escapeHtml(`<script>"&'\u001b[2J`)).toBe("&lt;script&gt;&quot;&amp;&#39;\ufffd[2J");
  const svg = stackedBars(
    [{ label: "</svg><img onerror=x>", segments: [{ value: 1, className: "net", title: '"><b>' }], note: "<i>" }],
    "a<b",
  );
  expect(svg).not.toMatch(/<img|<b>|<i>|a<b/);
});

test("report - bars share one scale", () => {
  const svg = stackedBars(
    [
      { label: "long", segments: [{ value: 100, className: "net", title: "" }], note: "" },
      { label: "half", segments: [{ value: 50, className: "net", title: "" }], note: "" },
    ],
    "scale",
  );
  expect([...svg.matchAll(/width="([\d.]+)" height/g)].map((match) => Number(match[1]))).toEqual([520, 260]);
});

test("report - durations and sizes read well", () => {
  expect([0.25, 42, 1234, 125_000].map(formatMs)).toEqual(["0.3 ms", "42 ms", "1.23 s", "2 min 5 s"]);
  expect([0, 1023, 1536, 200 * 1024 ** 2].map(formatBytes)).toEqual(["0 B", "1023 B", "1.5 KiB", "200 MiB"]);
});
