// The JSON Schema of the grant says what the compiler says: golden grants that compile are valid, and malformed ones are not
// where the schema can express why. The example grants are valid too.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import Ajv2020 from "ajv/dist/2020.js";
import { root } from "./lib/harness.mjs";

const read = (...parts) => JSON.parse(fs.readFileSync(path.join(root, ...parts), "utf8"));
const validate = new Ajv2020({ strict: true, strictRequired: false, strictTypes: false, allErrors: true }).compile(read("docs/reference/grant.schema.json"));
const problems = (atr) => (validate(atr) ? [] : validate.errors.map(({ instancePath, message }) => `${instancePath} ${message}`));

// Malformed in a way that this schema does not say; the compiler alone refuses them.
const beyondSchema = new Set([
  "a-child-of-another-tenant-is-invalid",         // the parent stands elsewhere, in act
  "a-child-without-its-parents-tenant-is-invalid",
  "a-grandparent-of-another-tenant-is-invalid",
  "a-bound-that-is-not-exact-is-invalid",         // the spelling of a number
  "a-fractional-session-lifetime-is-invalid",     // 36e2 is an integer to JSON Schema
  "a-host-that-is-a-short-ipv4-address-is-invalid",
  "a-host-with-a-scheme-is-invalid",
  "a-len-whose-bounds-cross-is-invalid",          // two members compared
  "a-pattern-with-lookahead-is-invalid",          // what RE2 accepts
]);

const golden = "src/grant/golden";
const cases = fs.readdirSync(path.join(root, golden)).filter((name) => fs.existsSync(path.join(root, golden, name, "grant.json")));
assert.ok(cases.length >= 60, `only ${cases.length} golden cases`);

for (const name of cases) {
  test(name, () => {
    const { reason } = read(golden, name, "expected.json");
    const claims = read(golden, name, "grant.json");
    const atr = claims.atr ?? claims;
    if (reason === "grant_invalid") {
      assert.equal(problems(atr).length > 0, !beyondSchema.has(name), "the schema refuses what the compiler refuses");
    } else if (reason !== "grant_unsupported") {
      assert.deepEqual(problems(atr), []);
    }
  });
}

const examples = "examples/quickstart/policy/grants";
for (const name of fs.readdirSync(path.join(root, examples))) {
  test(`${examples}/${name}`, () => {
    // run.mjs puts a folder in the place of ${FILES} before anything reads the file.
    const text = fs.readFileSync(path.join(root, examples, name), "utf8").replaceAll("${FILES}", "/files");
    assert.deepEqual(problems(JSON.parse(text)), []);
  });
}

test("the schema refuses what no grant may hold", () => {
  for (const atr of [
    { toolsInScope: "bank/*" }, { scope: ["tools:everything"] }, { colour: "red" }, { crossVertical: "yes" }, { toolConstraints: { "bank/*": { args: { "/a": { maximum: 1 } } } } },
  ]) assert.notDeepEqual(problems(atr), [], JSON.stringify(atr));
});
