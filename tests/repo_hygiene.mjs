// Keeps the repository fit for a stranger: no trace of the machine it was written on, every folder explained, every
// fuzzer with a corpus, links that lead somewhere, plain text that diffs well.
//
//   node tests/repo_hygiene.mjs SOURCE_DIR        prints each problem; exit 1 if there is one
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { dirname, join, normalize, resolve } from 'node:path';
import { argv, exit } from 'node:process';

const root = resolve(argv[2]);
const problems = [];
const complain = (path, what) => problems.push(`${path}: ${what}`);
const read = (path) => readFileSync(join(root, path));

// What git has or would add. A checkout that belongs to somebody else is read all the same.
const files = execFileSync(
  'git',
  ['-c', 'safe.directory=*', 'ls-files', '-z', '--cached', '--others', '--exclude-standard'],
  { cwd: root },
)
  .toString()
  .split('\0')
  .filter((path) => path && existsSync(join(root, path)));

// Spelled in pieces, because this file is searched too.
const never = [
  ['a path of one machine', ['', 'work', ''].join('/')],
  ['a path of one machine', ['', 'tmp', 'zw'].join('/')],
  // A short one ("/src") stands in many a text by right.
  ...(root.split('/').length > 3 ? [['the path of this checkout', root]] : []),
  ['the host of a package registry', ['registry', 'npmjs', 'org'].join('.')],
  ['the host of a package registry', ['deb', 'debian', 'org'].join('.')],
  ['the host of a package registry', ['pypi', 'org'].join('.')],
];
for (const path of files) {
  const text = read(path).toString('latin1');
  for (const [what, needle] of never) if (text.includes(needle)) complain(path, `names ${what}: ${needle}`);
}

// Text that people edit. Corpora and golden messages are bytes and stay as they are.
const is_data = (path) => /^fuzz\/[^/]+\/|\/golden\/.*\.(?!md$)\w+$/.test(path);
const is_text = (path) =>
  /\.(cc|h|def|cmake|sh|mjs|md|ya?ml|json)$|(^|\/)(CMakeLists\.txt|Makefile|\.ci\/run)$/.test(path);
for (const path of files.filter((path) => is_text(path) && !is_data(path))) {
  const text = read(path).toString('utf8');
  if (text.includes('\r')) complain(path, 'has CRLF line ends');
  if (text.length > 0 && !text.endsWith('\n')) complain(path, 'does not end with a line break');
  text.split('\n').forEach((line, index) => {
    if (/[ \t\r]$/.test(line)) complain(`${path}:${index + 1}`, 'has space at the end of the line');
    if (!path.endsWith('Makefile') && line.includes('\t')) complain(`${path}:${index + 1}`, 'has a tab');
  });
}

for (const path of files.filter((path) => read(path).subarray(0, 2).toString() === '#!'))
  if (!(statSync(join(root, path)).mode & 0o100)) complain(path, 'begins with #! but is not executable');

for (const entry of readdirSync(join(root, 'src'), { withFileTypes: true }))
  if (entry.isDirectory() && !files.includes(`src/${entry.name}/README.md`))
    complain(`src/${entry.name}`, 'has no README.md');

const fuzzers = new Set(files.map((path) => path.match(/^src\/\w+\/(\w+_fuzz)\.cc$/)?.[1]).filter(Boolean));
const corpora = new Set(files.map((path) => path.match(/^fuzz\/(\w+)\/./)?.[1]).filter(Boolean));
for (const name of fuzzers) if (!corpora.has(name)) complain(`fuzz/${name}`, 'has no file: a fuzzer needs a corpus');
for (const name of corpora) if (!fuzzers.has(name)) complain(`fuzz/${name}`, 'is the corpus of no fuzzer');

// Links between pages.
for (const path of files.filter((path) => path.endsWith('.md')))
  for (const [, target] of read(path)
    .toString('utf8')
    .replace(/^```[^]*?^```/gm, '')
    .matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g))
    if (!/^[a-z]+:/.test(target) && !existsSync(join(root, normalize(join(dirname(path), target)))))
      complain(path, `links to ${target}, which is not there`);

const lock = read('package-lock.json').toString('utf8');
if (/"resolved"/.test(lock)) complain('package-lock.json', 'names where packages came from ("resolved"); see .npmrc');
for (const [name, entry] of Object.entries(JSON.parse(lock).packages))
  if (name && !entry.link && !entry.integrity) complain('package-lock.json', `${name} has no integrity digest`);
if (!/Apache License\s+Version 2\.0/.test(read('LICENSE').toString('utf8'))) complain('LICENSE', 'is not Apache-2.0');

for (const problem of problems) console.error(problem);
console.log(`repo_hygiene: ${files.length} files, ${problems.length} problems`);
exit(problems.length > 0 ? 1 : 0);
