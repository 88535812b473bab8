// Shows that the test of the threat model can fail: a small tree that is in order, then one fault at a time.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { check, policy_keys } from './threat_model.mjs';

const row = (kind) => `| ${kind} | it happens | \`src/a_test.cc#StopsIt\` | nothing |\n`;
const boundary =
  '## B1. Client to listener\n\n| | a | b | c |\n|---|---|---|---|\n' +
  ['Spoofing', 'Tampering', 'Repudiation', 'Information disclosure', 'Denial of service', 'Elevation of privilege']
    .map(row)
    .join('');
const page = `# Threat model

reviewed-on: 2026-11-25

\`mode\`, \`listeners\`, \`listeners[].address\` (\`ipv4\`, \`unix_socket\`) are B1, in \`src/gateway/gateway.cc\`.
\`upstreams\`, \`upstreams.*.command\` (\`StdioUpstream\`), \`roles\`: \`src/gateway/stdio_upstream.cc\`.

${boundary}`;
const schema = {
  properties: {
    mode: { type: 'string' },
    listeners: { items: { properties: { address: {} } } },
    upstreams: { additionalProperties: { properties: { command: {} } } },
    roles: { additionalProperties: { properties: { scope: {} } } },
  },
};
const good = {
  'docs/threat-model.md': page,
  'docs/reference/policy.schema.json': JSON.stringify(schema),
  'src/net/stream.h': 'enum class Family : std::uint8_t { ipv4, unix_socket };\nvoid listen();\n',
  'src/gateway/gateway.cc': 'auto l = net::listen(loop, address);\n',
  'src/gateway/stdio_upstream.h': 'class StdioUpstream final : public Upstream {};\nclass Upstream;\n',
  'src/gateway/stdio_upstream.cc': 'auto p = net::Process::start(loop, options);\n',
  'src/a_test.cc': 'TEST(A, StopsIt) { net::listen(loop, address); }\n',
};

const scratch = mkdtempSync(join(tmpdir(), 'zwinger-threat-model-'));
after(() => rmSync(scratch, { recursive: true }));
let trees = 0;

function problems_with(changes, today = '2026-11-25') {
  const root = join(scratch, String(trees++));
  for (const [path, text] of Object.entries({ ...good, ...changes })) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return check(root, today).problems;
}
const in_page = (from, to) => {
  assert.ok(page.includes(from), from);
  return { 'docs/threat-model.md': page.replace(from, to) };
};
const with_key = (where, key) => {
  const changed = structuredClone(schema);
  where(changed)[key] = {};
  return { 'docs/reference/policy.schema.json': JSON.stringify(changed) };
};

test('a page in order has no problem', () => assert.deepEqual(problems_with({}), []));

test('a page is good for 92 days, and not a day longer', () => {
  assert.deepEqual(problems_with({}, '2027-02-25'), []);
  assert.match(problems_with({}, '2027-02-26').join(), /^[^,]*was reviewed 93 days ago/);
});

test('the keys that matter are those of the schema, two deep', () =>
  assert.deepEqual(policy_keys(schema), [
    'mode',
    'listeners',
    'listeners[].address',
    'upstreams',
    'upstreams.*.command',
    'roles',
  ]));

const faults = [
  ['a review that is yet to come', in_page('2026-11-25', '2026-11-26'), /reviewed on 2026-11-26, which is yet to come/],
  ['no date', in_page('reviewed-on: 2026-11-25', ''), /has 0 lines "reviewed-on/],
  ['two dates', in_page('reviewed-on: 2026-11-25', 'reviewed-on: 2026-11-25\nreviewed-on: 2026-11-24'), /has 2 lines/],
  ['a date that is none', in_page('2026-11-25', 'today'), /holds no date/],
  ['a day that no month has', in_page('2026-11-25', '2026-02-30'), /holds no date/],
  [
    'a new kind of upstream in the policy',
    with_key((s) => s.properties.upstreams.additionalProperties.properties, 'url'),
    /does not name `upstreams\.\*\.url`, a key/,
  ],
  [
    'a new kind of listener in the policy',
    with_key((s) => s.properties.listeners.items.properties, 'tls'),
    /does not name `listeners\[\]\.tls`, a key/,
  ],
  ['a new section of the policy', with_key((s) => s.properties, 'admin'), /does not name `admin`, a key/],
  [
    'a new family of addresses',
    { 'src/net/stream.h': 'enum class Family : std::uint8_t { ipv4, unix_socket, vsock };\n' },
    /does not name `vsock`, a family of addresses/,
  ],
  [
    'a new class of upstream',
    { 'src/gateway/other.h': 'class GrpcUpstream final : public Upstream {\n};\n' },
    /does not name `GrpcUpstream`, a kind of upstream/,
  ],
  [
    'a new file that listens',
    { 'src/cmd/serve.cc': 'auto l = net::listen(loop, address);\n' },
    /does not name `src\/cmd\/serve\.cc`, a file that listens/,
  ],
  [
    'a new file that connects',
    { 'src/cmd/fetch.cc': 'auto c = net::connect(loop, address, soon);\n' },
    /does not name `src\/cmd\/fetch\.cc`, a file that carries messages or connects/,
  ],
  ['a new front', { 'src/gateway/grpc_front.cc': '' }, /does not name `src\/gateway\/grpc_front\.cc`/],
  ['a boundary without a kind of threat', in_page(row('Repudiation'), ''), /B1\. .*: has 0 rows for Repudiation/],
  [
    'a threat that does not say what is open',
    in_page(row('Tampering'), '| Tampering | it happens | `src/a_test.cc` | |\n'),
    /row for Tampering does not fill its four cells/,
  ],
  ['a boundary that is not described', in_page('are B1,', 'are B1 and B2,'), /speaks of B2, which has no section/],
  [
    'a proof that is not there',
    in_page('`mode`,', '`mode`, `src/gone.cc`,'),
    /names src\/gone\.cc, which is not there/,
  ],
  [
    'a test that is not there',
    { 'src/a_test.cc': 'TEST(A, StopsItNot) {}\n' },
    /names the test StopsIt, which is not in src\/a_test\.cc/,
  ],
];
for (const [name, change, expected] of faults)
  test(`finds ${name}`, () => {
    const problems = [...new Set(problems_with(change))];
    assert.equal(problems.length, 1, problems.join('\n'));
    assert.match(problems[0], expected);
  });

test('finds a page without boundaries', () => {
  const problems = problems_with(in_page(boundary, ''));
  assert.ok(problems.some((problem) => /has no section "## B1/.test(problem)));
});

test('says so where it looks for the wrong thing', () => {
  assert.throws(() => problems_with({ 'src/net/stream.h': 'enum class Kind { a };\n' }), /no "enum class Family"/);
  assert.throws(() => problems_with({ 'src/gateway/stdio_upstream.h': '' }), /no class under src/);
});
