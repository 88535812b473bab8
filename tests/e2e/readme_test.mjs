// What the README shows is true: its output block is what a fresh run prints, but for ids, times and ports; its policy loads,
// and its grant passes. The life of an exchange follows the pipeline, and the tests it names exist.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { folder, mint, mustRun, policyDirectory, root, stub, zwinger } from "./lib/harness.mjs";

const mask = (text) => text
  .replace(/\b[0-9a-f]{32}\b/g, "<id>")
  .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z/g, "<time>")
  .replace(/127\.0\.0\.1:\d+/g, "127.0.0.1:<port>");

const readme = fs.readFileSync(path.join(root, "README.md"), "utf8");

test("the README shows a fresh run", () => {
  const block = /<!-- quickstart -->\n```\n(.*?)```\n<!-- \/quickstart -->/s.exec(readme);
  assert.ok(block, "the README has the block");
  const script = path.join(root, "examples/quickstart/run.mjs");
  const run = spawnSync(process.execPath, [script, "--once", "--zwinger", zwinger, "--dir", folder("quickstart")],
    { encoding: "utf8", timeout: 100_000 });
  assert.equal(run.status, 0, run.stdout + run.stderr);
  assert.equal(run.stderr, "");
  assert.equal(mask(run.stdout), mask(block[1]));
});

test("the README's policy loads", () => {
  const [, yaml] = /```yaml\n(mode: .*?)```/s.exec(readme);
  const directory = folder("policy");
  fs.writeFileSync(path.join(directory, "zwinger.yaml"), yaml);
  const { publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const jwk = { ...publicKey.export({ format: "jwk" }), kid: "1", alg: "RS256" };
  fs.writeFileSync(path.join(directory, "jwks.json"), JSON.stringify({ keys: [jwk] }));
  assert.match(mustRun(["check", directory]), /bank/);
});

test("the README's grant is one", () => {
  const [, grant] = /```json\n(\{ "actorType".*?)```/s.exec(readme);
  const policy = policyDirectory({ upstreams: { bank: { command: stub("echo-server.mjs") } } });
  assert.ok(mint(policy, JSON.parse(grant)), "a token with it can be minted");
  const rows = [...readme.matchAll(/^\| .* \| `("\/[^`]*)`(?:, `[^`]*`)? \|$/gm)];
  assert.ok(rows.length >= 8, "the table of matchers is found");
  for (const [, matcher] of rows) {
    const args = JSON.parse(`{${matcher}}`);
    assert.ok(mint(policy, { toolConstraints: { "bank/*": { args } } }), matcher);
  }
});

test("the life of an exchange follows the pipeline, and names what exists", () => {
  const read = (file) => fs.readFileSync(path.join(root, file), "utf8");
  const page = read("docs/life-of-an-exchange.md");
  const headings = page.match(/^## .*$/gm).join("\n");
  const stages = [...read("src/gateway/pipeline.cc").matchAll(/^  (?:co_await |co_return )?(\w+)\(x\);/gm)].map(([, name]) => name);
  assert.ok(stages.length > 5);
  assert.deepEqual([...headings.matchAll(/`(\w+)`/g)].map(([, name]) => name), stages);

  for (const [, file] of page.matchAll(/`((?:src|tests)\/[^`]*)`/g)) assert.ok(fs.existsSync(path.join(root, file)), file);
  const titles = [...page.matchAll(/"([^"{}]+)"\s+in\s+`([^`]+)`/g)];
  assert.ok(titles.length >= 3);
  for (const [, title, file] of titles) assert.ok(read(file).includes(`test("${title.replace(/\s+/g, " ")}"`), title);
  const codes = new Set(JSON.parse(mustRun(["codes", "--json"])).map(({ code }) => code));
  for (const [, word] of page.matchAll(/`((?:ledger|outcome|upstream|method|decision)_\w+)`/g)) assert.ok(codes.has(word), word);
});
