// The README's output block is what a fresh run prints, but for ids, times and ports.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { folder, root, zwinger } from "./lib/harness.mjs";

const mask = (text) => text
  .replace(/\b[0-9a-f]{32}\b/g, "<id>")
  .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z/g, "<time>")
  .replace(/127\.0\.0\.1:\d+/g, "127.0.0.1:<port>");

test("the README shows a fresh run", () => {
  const readme = fs.readFileSync(path.join(root, "README.md"), "utf8");
  const block = /<!-- quickstart -->\n```\n(.*?)```\n<!-- \/quickstart -->/s.exec(readme);
  assert.ok(block, "the README has the block");
  const script = path.join(root, "examples/quickstart/run.mjs");
  const run = spawnSync(process.execPath, [script, "--once", "--zwinger", zwinger, "--dir", folder("quickstart")],
    { encoding: "utf8", timeout: 100_000 });
  assert.equal(run.status, 0, run.stdout + run.stderr);
  assert.equal(run.stderr, "");
  assert.equal(mask(run.stdout), mask(block[1]));
});
