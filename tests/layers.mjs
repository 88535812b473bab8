// The layer test. Compares three things that must tell the same story: the order of the houses drawn in
// docs/architecture.md, the libraries that CMake linked (build/<preset>/layers.txt, written by src/CMakeLists.txt),
// and every #include under src/. Also keeps the short lists below: which files may use which library, throw, read the
// clock, start processes or threads, open sockets, and so on.
//
//   node tests/layers.mjs SOURCE_DIR LAYERS_TXT        prints each problem; exit 1 if there is one
//
// tests/layers_self_test.mjs shows that every rule here can fail.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { argv, exit } from 'node:process';
import { fileURLToPath } from 'node:url';

// A header in angle brackets is a C++ or POSIX header, or one of these, in one of these files.
const asio_files = /^net\/(\w+\.cc|loop_impl\.h|descriptor\.h)$/;
// Beside crypto: TLS, certificates for its tests, and a test that forges tokens.
const openssl_files =
  /^(crypto\/\w+\.\w+|net\/(tls(_context)?\.cc|tls_openssl\.h|tls_test\.cc|test_certificates\.h)|identity\/golden_test\.cc)$/;
const libraries = [
  { include: /^boost\/(asio|system)\//, where: asio_files },
  { include: /^boost\/beast\//, where: /^net\/http1_beast_test\.cc$/ }, // an oracle for our codec
  { include: /^yaml-cpp\//, where: /^json\/yaml\w*\.cc$/ },
  { include: /^re2\//, where: /^text\/\w+\.cc$/ },
  { include: /^utf8proc\.h$/, where: /^text\/\w+\.cc$/ },
  { include: /^openssl\//, where: openssl_files },
  { include: /^netdb\.h$/, where: /^net\/resolve\.cc$/ }, // getaddrinfo blocks: on that file's threads only
  { include: /^sqlite3\.h$/, where: /^state\/\w+\.cc$/ },
  { include: /^spdlog\//, where: /^base\/log\.cc$/ },
  { include: /^CLI\//, where: /^cmd\// },
  { include: /^fmt\//, where: /./ },
  { include: /^g(test|mock)\//, where: /_test\.cc$|test_\w+\.h$|_testing\.h$/ },
  { include: /^net\/(loop_impl|descriptor)\.h$/, where: asio_files }, // ours, but they bring Asio
];
const platform =
  /^([a-z_0-9]+|(dirent|fcntl|grp|poll|pthread|pwd|sched|signal|spawn|stdlib|unistd)\.h|(sys|netinet|arpa|linux)\/[a-z_0-9]+\.h)$/;

// Words that only these files may use; test files may too where `tests` says so. A function of the system is looked for
// where it is called: not a member (x.connect), not a part of another name.
const words = [
  { word: /\b(throw|try|catch)\b/, name: 'exceptions', tests: true, where: /^(json\/yaml\w*\.cc|cmd\/\w+\.cc)$/ },
  {
    word: /\b(system|steady|high_resolution|utc|tai)_clock::now\b|\b(clock_gettime|gettimeofday|timespec_get)\b|(?<!\w)(std)?::time\s*\(/,
    name: 'the clock',
    tests: true,
    where: /^(base\/base\.cc|net\/loop\.(h|cc))$/,
  },
  {
    word: /\b(adjtimex|ntp_adjtime|clock_adjtime|clock_settime|settimeofday)\b/,
    name: 'the state of the clock',
    tests: false,
    where: /^cmd\/doctor_host\.cc$/, // asks whether somebody keeps it
  },
  {
    word: /\b(random_device|mt19937(_64)?|minstd_rand0?|default_random_engine|getrandom|getentropy|RAND_(priv_)?bytes)\b|(?<![\w.>])s?rand(om|48)?\s*\(/,
    name: 'a source of randomness',
    tests: true,
    where: /^base\/base\.cc$/,
  },
  { word: /\bstd::w?regex\b|<regex>/, name: 'std::regex', tests: false, where: /^$/ },
  {
    word: /\b(RE2|re2::|regcomp|regexec|pcre2?_\w+|hs_(compile|scan)\w*)/,
    name: 'a regex engine',
    tests: false,
    where: /^text\/\w+\.(cc|h)$/,
  },
  {
    word: /(?<![\w.>])(v?fork|posix_spawnp?|popen|clone3?|exec[vl]p?e?|execveat|fexecve|system|daemon)\s*\(|\bSYS_(clone3?|v?fork|execve(at)?)\b/,
    name: 'starting a process',
    tests: true,
    where: /^net\/process\.cc$/,
  },
  {
    word: /(?<!\w)::(socket(pair)?|connect|bind|listen|accept4?|send(to|m?msg)?|recv(from|m?msg)?)\s*\(|(?<![\w.>:])(socketpair|accept4|sendto|recvfrom|sendm?msg|recvm?msg)\s*\(/,
    name: 'a socket of its own',
    tests: true,
    where: /^net\/stream\.cc$/,
  },
  {
    word: /\b(getaddrinfo|getnameinfo|gethostbyname2?|res_n?(query|search))\b/,
    name: 'name resolution',
    tests: true,
    where: /^net\/resolve\.cc$/,
  },
  {
    word: /\bSOCK_(RAW|PACKET)\b|\b[AP]F_(PACKET|NETLINK|ALG|XDP|VSOCK|BLUETOOTH)\b/,
    name: 'a raw socket',
    tests: false,
    where: /^$/,
  },
  {
    word: /\b(secure_)?getenv\b|\b(set|put|unset|clear)env\b|\benviron\b/,
    name: 'the environment',
    tests: true,
    where: /^(cmd\/main|gateway\/stdio_upstream)\.cc$/,
  },
  { word: /\bdl(m?open|v?sym)\b|\bPROT_EXEC\b/, name: 'code that was not linked', tests: false, where: /^$/ },
  {
    // Types that only name one are no thread.
    word: /\bstd::(j?thread\b(?!::(id|hardware_concurrency)\b)|async\b)|\b(pthread|thrd)_create\b/,
    name: 'a thread',
    tests: true,
    where: /^(net\/resolve|state\/async_store|ledger\/ledger|gateway\/gateway)\.cc$/,
  },
  {
    word: /(?<![\w.>])syscall\s*\(/,
    name: 'a system call by number', // it would pass by every other line of this list
    tests: true,
    where: /^(net\/process|net\/proc_table|cmd\/doctor_host)\.cc$/,
  },
  {
    word: /\b(mem(cpy|move|set|ccpy)|bcopy|bzero)\b/,
    name: 'copying raw memory', // spans and std::copy know their lengths
    tests: true,
    where: /^(net\/(stream|tls|watch)|identity\/token_verifier|text\/utf8)\.cc$/,
  },
  {
    word: /(?<![\w.>])(st[pr]n?cpy|strn?cat|strtok(_r)?|v?sn?printf|gets|v?[fs]?scanf|alloca)\s*\(/,
    name: 'an old string function',
    tests: false,
    where: /^$/,
  },
];

// "base -> {a b} -> c (v: base..a only)" to the set of folders that each folder may use.
export function parse_order(text) {
  const tools = [...text.matchAll(/\((\w+): (\w+)\.\.(\w+) only\)/g)];
  const houses = text
    .replace(/\([^)]*\)/g, ' ')
    .split('->')
    .map((house) => house.replace(/[{}]/g, ' ').trim().split(/\s+/));
  const allowed = new Map();
  const left = [];
  for (const neighbours of houses) {
    for (const folder of neighbours) allowed.set(folder, new Set(left));
    left.push(...neighbours);
  }
  for (const [, folder, first, last] of tools)
    allowed.set(folder, new Set(left.slice(left.indexOf(first), left.indexOf(last) + 1)));
  return allowed;
}

function* sources(folder, prefix = '') {
  for (const entry of readdirSync(join(folder, prefix), { withFileTypes: true })) {
    const path = prefix + entry.name;
    if (entry.isDirectory()) yield* sources(folder, path + '/');
    else if (/\.(cc|h|def)$/.test(entry.name)) yield path;
  }
}

// Code without comments and literals, with its line breaks, so that a word in prose is no finding.
function code_only(text) {
  return text.replace(/\/\/[^\n]*|\/\*[^]*?\*\/|R"(\w*)\([^]*?\)\1"|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])'/g, (match) =>
    match.replace(/[^\n]/g, ' '),
  );
}

// Returns { problems: [text], counted: text }.
export function check(source_dir, layers_txt) {
  const problems = [];
  const page = readFileSync(join(source_dir, 'docs/architecture.md'), 'utf8');
  const fenced = page.match(/^```\w*\n(base -> [^]*?)^```/m);
  if (!fenced) return { problems: ['docs/architecture.md: no fenced block beginning with "base -> "'], counted: '' };
  const allowed = parse_order(fenced[1]);

  const linked = new Map();
  for (const line of readFileSync(layers_txt, 'utf8').trim().split('\n')) {
    const [folder, dependencies] = line.split(':');
    linked.set(folder, new Set(dependencies.trim().split(/\s+/).filter(Boolean)));
  }
  for (const [folder, dependencies] of linked) {
    if (!allowed.has(folder))
      problems.push(`src/CMakeLists.txt: ${folder} is not in the order of docs/architecture.md`);
    for (const dependency of dependencies)
      if (!allowed.get(folder)?.has(dependency))
        problems.push(`src/CMakeLists.txt: ${folder} links ${dependency}, which does not stand left of it`);
  }

  let files = 0;
  let includes = 0;
  for (const entry of readdirSync(join(source_dir, 'src'), { withFileTypes: true }))
    if (entry.isDirectory() && !linked.has(entry.name))
      problems.push(`src/${entry.name}: no zwinger_library() in src/CMakeLists.txt`);
  for (const path of sources(join(source_dir, 'src'))) {
    files++;
    const folder = path.split('/')[0];
    const is_test = /_test\.cc$/.test(path);
    const text = readFileSync(join(source_dir, 'src', path), 'utf8');
    const code = code_only(text).split('\n');
    text.split('\n').forEach((line, index) => {
      const complain = (what) => problems.push(`src/${path}:${index + 1}: ${what}`);
      const include = line.match(/^\s*#\s*include\s*(?:"([^"]*)"|<([^>]*)>)/);
      if (include) includes++;
      else if (/^\s*#\s*include\b/.test(line)) complain('names no file, so it cannot be checked');
      const library = include && libraries.find((candidate) => candidate.include.test(include[1] ?? include[2]));
      if (library && !library.where.test(path)) complain(`${include[0].trim()} is not allowed here`);
      if (include?.[1] !== undefined) {
        const target = include[1].split('/')[0];
        if (!existsSync(join(source_dir, 'src', include[1]))) complain(`"${include[1]}" is not a path from src/`);
        else if (target === folder) return;
        else if (!allowed.get(folder)?.has(target))
          complain(`${folder} includes ${target}, which does not stand left of it`);
        else if (!linked.get(folder)?.has(target))
          complain(`${folder} includes ${target}, but does not link it in src/CMakeLists.txt`);
      } else if (include && !library && !platform.test(include[2])) {
        complain(`<${include[2]}> is of a library that tests/layers.mjs does not list`);
      }
      for (const { word, name, tests, where } of words)
        if (word.test(code[index]) && !where.test(path) && !(tests && is_test))
          complain(`${name} may not be used here`);
    });
  }
  return { problems, counted: `${linked.size} folders, ${files} files, ${includes} includes` };
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  const { problems, counted } = check(argv[2], argv[3]);
  for (const problem of problems) console.error(problem);
  console.log(`layers: ${counted}, ${problems.length} problems`);
  exit(problems.length > 0 ? 1 : 0);
}
