// Prints the ten slowest of a build or of a test run.
//
//   node tools/slowest.mjs units BUILD_DIR       compile units, from .ninja_log (wall seconds, when last compiled)
//   node tools/slowest.mjs tests BUILD_DIR       test cases, from ctest's junit.xml and the GoogleTest files in times/
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { argv } from 'node:process';

function units(dir) {
  const last = new Map();
  for (const line of readFileSync(join(dir, '.ninja_log'), 'utf8').split('\n').slice(1)) {
    const [start, end, , output] = line.split('\t');
    const match = output?.match(/^src\/CMakeFiles\/[^/]+\.dir\/(.*)\.o$/);
    if (match) last.set(match[1], (end - start) / 1000);
  }
  return last;
}

const attribute = (tag, name) => tag.match(new RegExp(`\\b${name}="([^"]*)"`))?.[1] ?? '';

function tests(dir) {
  const times = new Map();
  const detailed = new Set();
  const folder = join(dir, 'times');
  for (const file of existsSync(folder) ? readdirSync(folder) : []) {
    detailed.add(file.replace(/\.xml$/, ''));
    for (const [tag] of readFileSync(join(folder, file), 'utf8').matchAll(/<testcase [^>]*>/g))
      times.set(
        `${file.replace(/\.xml$/, '')} ${attribute(tag, 'classname')}.${attribute(tag, 'name')}`,
        Number(attribute(tag, 'time')),
      );
  }
  for (const [tag] of readFileSync(join(dir, 'junit.xml'), 'utf8').matchAll(/<testcase [^>]*>/g))
    if (!detailed.has(attribute(tag, 'name'))) times.set(attribute(tag, 'name'), Number(attribute(tag, 'time')));
  return times;
}

const [what, dir] = argv.slice(2);
const found = [...(what === 'units' ? units(dir) : tests(dir))].sort((a, b) => b[1] - a[1]).slice(0, 10);
console.log(`slowest ${what === 'units' ? 'compile units' : 'tests'}:`);
for (const [name, seconds] of found) console.log(`  ${seconds.toFixed(2).padStart(7)} s  ${name}`);
