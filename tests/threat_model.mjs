// Keeps docs/threat-model.md true in what a machine can check: it was reviewed within a quarter; every way in and every
// way out that the program has is on it; every boundary has all six kinds of threat, and each says what is open; what it
// names as proof is there.
//
//   node tests/threat_model.mjs SOURCE_DIR [TODAY]        TODAY as 2026-11-25, for tests; exit 1 if there is a problem
//
// tests/threat_model_self_test.mjs shows that every rule here can fail.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { argv, exit } from 'node:process';
import { fileURLToPath } from 'node:url';

const page_path = 'docs/threat-model.md';
const max_age_days = 92;
const kinds = [
  'Spoofing',
  'Tampering',
  'Repudiation',
  'Information disclosure',
  'Denial of service',
  'Elevation of privilege',
];

function check_date(page, today, complain) {
  const lines = page.match(/^reviewed-on: .*$/gm) ?? [];
  if (lines.length !== 1) return complain(`has ${lines.length} lines "reviewed-on: YYYY-MM-DD" instead of one`);
  const date = lines[0].match(/^reviewed-on: (\d{4}-\d\d-\d\d)$/)?.[1];
  const reviewed = date === undefined ? NaN : Date.parse(`${date}T00:00:00Z`);
  if (Number.isNaN(reviewed) || new Date(reviewed).toISOString().slice(0, 10) !== date)
    return complain(`"${lines[0]}" holds no date`);
  const days = (Date.parse(`${today}T00:00:00Z`) - reviewed) / 86_400_000;
  if (Number.isNaN(days)) throw new Error(`today is no date: ${today}`);
  if (days < 0) complain(`was reviewed on ${date}, which is yet to come`);
  if (days > max_age_days)
    complain(`was reviewed ${days} days ago, more than ${max_age_days}: read it against the code, then date it anew`);
}

// "listeners[].address", "upstreams.*.url": what can be written at the top of a policy, in a listener, an upstream, an
// issuer. The schema is made from the tables that read the file (cmd_test compares the two), so a new key is always here.
export function policy_keys(schema) {
  const keys = [];
  for (const [name, value] of Object.entries(schema.properties)) {
    keys.push(name);
    if (name === 'roles') continue; // roles narrow what is open
    const inner = value.items?.properties ?? value.additionalProperties?.properties;
    const prefix = value.items ? `${name}[].` : `${name}.*.`;
    for (const key of Object.keys(inner ?? {})) keys.push(prefix + key);
  }
  return keys;
}

function* sources(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true }))
    if (entry.isFile() && /\.(cc|h)$/.test(entry.name) && !/_(test|fuzz)\.cc$|test_\w+\.h$/.test(entry.name))
      yield join(entry.parentPath ?? entry.path, entry.name);
}

// Names that must be on the page, each with what it is.
function surfaces(root) {
  const read = (path) => readFileSync(join(root, path), 'utf8');
  const found = [];
  for (const key of policy_keys(JSON.parse(read('docs/reference/policy.schema.json'))))
    found.push([key, 'a key of zwinger.yaml']);

  const families = read('src/net/stream.h').match(/enum class Family[^{]*\{([^}]*)\}/)?.[1];
  if (families === undefined) throw new Error('src/net/stream.h has no "enum class Family"');
  for (const family of families.split(',')) found.push([family.trim(), 'a family of addresses']);

  const carriers = new Set();
  for (const file of sources(join(root, 'src'))) {
    const path = relative(root, file);
    const code = readFileSync(file, 'utf8').replace(/\/\/[^\n]*/g, '');
    for (const [, name] of code.matchAll(/\bclass (\w+)[^;{()]*:[^;{()]*\bpublic (?:gateway::)?Upstream\b/g))
      carriers.add(name);
    const listens = /\bnet::listen\(/.test(code);
    const connects = /\bnet::connect\(|\bnet::Process::start\(/.test(code);
    if (listens || connects || /_(front|upstream)\.cc$/.test(path))
      found.push([path, listens ? 'a file that listens' : 'a file that carries messages or connects']);
  }
  if (carriers.size === 0) throw new Error('no class under src/ is an Upstream: this test looks for the wrong thing');
  for (const name of carriers) found.push([name, 'a kind of upstream']);
  return found;
}

function check_boundaries(page, complain) {
  const sections = page.split(/^## /m).filter((section) => /^B\d+\./.test(section));
  if (sections.length === 0) complain('has no section "## B1. ..."');
  for (const section of sections) {
    const title = section.split('\n')[0];
    const rows = section
      .split('\n')
      .filter((line) => line.startsWith('|'))
      .map((line) => line.split('|').map((cell) => cell.trim()));
    for (const kind of kinds) {
      const row = rows.filter((cells) => cells[1] === kind);
      if (row.length !== 1) complain(`${title}: has ${row.length} rows for ${kind}`);
      else if (row[0].length !== 6 || row[0].slice(2, 5).some((cell) => cell === ''))
        complain(`${title}: the row for ${kind} does not fill its four cells`);
    }
  }
  const defined = new Set(sections.map((section) => section.match(/^B\d+/)[0]));
  for (const [, name] of page.matchAll(/\b(B\d+)\b/g))
    if (!defined.has(name)) complain(`speaks of ${name}, which has no section`);
}

// `src/x.cc` is a file or folder; `src/x_test.cc#Name` a file that has this name in it.
function check_proofs(root, page, complain) {
  for (const [, path, , name] of page.matchAll(/`((?:src|tests|docs|tools)\/[\w./-]+)(#(\w+))?`/g))
    if (!existsSync(join(root, path))) complain(`names ${path}, which is not there`);
    else if (name && !new RegExp(`\\b${name}\\b`).test(readFileSync(join(root, path), 'utf8')))
      complain(`names the test ${name}, which is not in ${path}`);
}

export function check(root, today) {
  const problems = [];
  const complain = (what) => problems.push(`${page_path}: ${what}`);
  const page = readFileSync(join(root, page_path), 'utf8');
  check_date(page, today, complain);
  const named = new Set([...page.matchAll(/`([^`\n]+)`/g)].map(([, name]) => name));
  const must = surfaces(root);
  for (const [name, what] of must)
    if (!named.has(name)) complain(`does not name \`${name}\`, ${what}: say what it opens, or that it opens nothing`);
  check_boundaries(page, complain);
  check_proofs(root, page, complain);
  return { problems, counted: `${must.length} surfaces, ${page.match(/^## B\d+/gm)?.length ?? 0} boundaries` };
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  const { problems, counted } = check(argv[2], argv[3] ?? new Date().toISOString().slice(0, 10));
  for (const problem of problems) console.error(problem);
  console.log(`threat_model: ${counted}, ${problems.length} problems`);
  exit(problems.length > 0 ? 1 : 0);
}
