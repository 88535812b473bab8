// Shows that the layer test can fail: a small tree that is in order, then one fault at a time.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { check, parse_order } from './layers.mjs';

const order = 'base -> json -> {grant flow}\n  -> net -> cmd      (verify: base..json only)\n';
const good = {
  'docs/architecture.md': `# Picture\n\n\`\`\`\nzwinger gateway\n\`\`\`\n\n\`\`\`text\n${order}\`\`\`\n`,
  'layers.txt': 'base: \njson: base\ngrant: base json\nflow: base json\nnet: base\nverify: base json\n',
  'src/base/result.h': '#include <expected>\n#include <sys/types.h>\n#include <fmt/format.h>\n',
  'src/json/json.h': '#include "base/result.h"\n',
  'src/json/yaml.cc': '#include <yaml-cpp/parser.h>\n#include "json/json.h"\nvoid f() { try {} catch (...) {} }\n',
  'src/grant/grant.cc':
    '#include "json/json.h"\n// we never throw; see std::regex, system_clock::now\nchar t[] = "try catch", q = \'"\';\n',
  'src/grant/grant_test.cc':
    '#include <gtest/gtest.h>\n#include "grant/grant.cc"\nauto t = std::chrono::steady_clock::now();\n',
  'src/flow/flow.h': '#include "json/json.h"\n',
  'src/net/stream.h': '#include "base/result.h"\n',
  'src/net/loop_impl.h': '#include <boost/asio/post.hpp>\n#include "base/result.h"\n',
  'src/verify/verify.cc': '#include "json/json.h"\n',
};

const scratch = mkdtempSync(join(tmpdir(), 'zwinger-layers-'));
after(() => rmSync(scratch, { recursive: true }));
let trees = 0;

function problems_with(changes) {
  const root = join(scratch, String(trees++));
  for (const [path, text] of Object.entries({ ...good, ...changes })) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return check(root, join(root, 'layers.txt')).problems;
}

test('a tree in order has no problem', () => assert.deepEqual(problems_with({}), []));

test('what only looks like such a word is no finding', () =>
  assert.deepEqual(
    problems_with({
      'src/flow/flow.h': [
        'std::thread::id id; unsigned n = std::thread::hardware_concurrency();',
        'auto a = loop.connect(x), b = net::connect(y), c = Codec::bind(z), d = std::bind(f, 1);',
        'int fork_child(); int my_system(int); auto e = that->clone(); int posix = operand(3);',
        'auto f = std::time_t(0); int check_time(int); auto g = boost::system::error_code();',
        'Context environment; std::string text = brand(1); // ::fork() std::getenv memcpy',
      ].join('\n'),
    }),
    [],
  ));

test('tests may do what the product may not, where that is said', () =>
  assert.deepEqual(
    problems_with({
      'src/flow/flow_test.cc': 'std::jthread t; auto p = ::fork(), s = ::socket(1, 2, 3); auto e = std::getenv("X");\n',
    }),
    [],
  ));

test('the order line says who may use whom', () => {
  const allowed = parse_order(order);
  assert.deepEqual([...allowed.get('grant')], ['base', 'json']);
  assert.deepEqual([...allowed.get('net')], ['base', 'json', 'grant', 'flow']);
  assert.deepEqual([...allowed.get('verify')], ['base', 'json']);
});

const header = (line) => ({ 'src/flow/flow.h': line });
const faults = [
  [
    'a folder that includes what stands right of it',
    { 'src/json/json.h': '#include "net/stream.h"\n' },
    /^src\/json\/json\.h:1: json includes net, which does not stand left/,
  ],
  [
    'neighbours in a brace that include each other',
    header('\n#include "grant/grant.cc"\n'),
    /^src\/flow\/flow\.h:2: flow includes grant, which does not stand left/,
  ],
  [
    'a test that includes a neighbour',
    { 'src/grant/x_test.cc': '#include "flow/flow.h"\n' },
    /^src\/grant\/x_test\.cc:1: grant includes flow/,
  ],
  [
    'the verifier that includes more than its part',
    { 'src/verify/verify.cc': '#include "net/stream.h"\n' },
    /^src\/verify\/verify\.cc:1: verify includes net/,
  ],
  [
    'a folder that uses the verifier',
    { 'src/net/a.cc': '#include "verify/verify.cc"\n' },
    /^src\/net\/a\.cc:1: net includes verify/,
  ],
  [
    'an include that CMake does not link',
    { 'src/net/a.cc': '#include "json/json.h"\n' },
    /^src\/net\/a\.cc:1: net includes json, but does not link it/,
  ],
  ['an include that is not a path from src/', header('#include "result.h"\n'), /"result\.h" is not a path from src/],
  [
    'CMake linking to the right',
    { 'layers.txt': good['layers.txt'].replace('json: base', 'json: base net') },
    /CMakeLists\.txt: json links net/,
  ],
  [
    'CMake linking a neighbour',
    { 'layers.txt': good['layers.txt'].replace('flow: base', 'flow: grant base') },
    /CMakeLists\.txt: flow links grant/,
  ],
  [
    'a library that is not in the order',
    { 'layers.txt': good['layers.txt'] + 'extra:\n' },
    /CMakeLists\.txt: extra is not in the order/,
  ],
  ['a folder without a library', { 'src/extra/x.h': '' }, /^src\/extra: no zwinger_library/],
  ['a library outside its folder', header('#include <openssl/evp.h>\n'), /<openssl\/evp\.h> is not allowed here/],
  [
    'Unicode data outside text',
    { 'src/json/json.h': '#include <utf8proc.h>\n' },
    /^src\/json\/json\.h:1: #include <utf8proc\.h> is not allowed here/,
  ],
  [
    'Asio in a public header',
    { 'src/net/loop.h': '#include <boost/asio/post.hpp>\n' },
    /^src\/net\/loop\.h:1: #include <boost\/asio\/post\.hpp> is not allowed here/,
  ],
  [
    'Asio by way of a private header',
    { 'src/net/stream.h': '#include "net/loop_impl.h"\n' },
    /^src\/net\/stream\.h:1: .*loop_impl\.h" is not allowed here/,
  ],
  ['an include that hides its target', header('#include HEADER\n'), /^src\/flow\/flow\.h:1: names no file/],
  ['a library of one header that nobody listed', header('#include <zlib.h>\n'), /<zlib\.h> is of a library that/],
  ['a library that nobody listed', header('#include <curl/curl.h>\n'), /<curl\/curl\.h> is of a library that/],
  ['GoogleTest in the product', header('#include <gtest/gtest.h>\n'), /<gtest\/gtest\.h> is not allowed here/],
  [
    'an exception outside a seam',
    header('int f() { throw 1; }\n'),
    /^src\/flow\/flow\.h:1: exceptions may not be used here/,
  ],
  [
    'an engine that reads the clock',
    header('auto t = std::chrono::system_clock::now();\n'),
    /the clock may not be used here/,
  ],
  [
    'asking how the clock is kept',
    { 'src/flow/flow_test.cc': 'int f() { return ::adjtimex(nullptr); }\n' },
    /the state of the clock may not be used here/,
  ],
  ['randomness that nobody passed in', header('std::random_device device;\n'), /a source of randomness may not be used/],
  [
    'a regex engine outside text',
    { 'src/flow/flow_test.cc': 'regex_t r; int f() { return regcomp(&r, "a", 0); }\n' },
    /a regex engine may not be used here/,
  ],
  ...['::fork()', 'posix_spawn(0)', 'std::system("x")', 'popen("x", "r")', '::execve(0, 0, 0)', '(void)SYS_clone3'].map(
    (call) => [`a process that is started by ${call}`, header(`auto f() { return ${call}; }\n`), /starting a process may/],
  ),
  ...['::socket(1, 2, 3)', '::connect(0, 0, 0)', '::bind(0, 0, 0)', 'accept4(0, 0, 0, 0)', '::send(0, 0, 0, 0)'].map(
    (call) => [`a socket that is used by ${call}`, header(`auto f() { return ${call}; }\n`), /a socket of its own may/],
  ),
  ['a name that is resolved', header('auto f() { return ::getaddrinfo(0, 0, 0, 0); }\n'), /name resolution may not/],
  ...['SOCK_RAW', 'AF_PACKET', 'AF_NETLINK'].map((word) => [
    `a raw socket, even in a test: ${word}`,
    { 'src/flow/flow_test.cc': `int f() { return ${word}; }\n` },
    /a raw socket may not be used here/,
  ]),
  ['who reads the environment', header('auto f() { return std::getenv("HOME"); }\n'), /the environment may not be/],
  ['who walks the environment', header('auto f() { return environ; }\n'), /the environment may not be used here/],
  [
    'a library that is loaded at run time, even in a test',
    { 'src/flow/flow_test.cc': 'auto f() { return ::dlopen("x.so", 0); }\n' },
    /code that was not linked may not be used here/,
  ],
  ...['std::thread t;', 'std::jthread t;', 'auto f = std::async(g);', 'int i = pthread_create(0, 0, 0, 0);'].map(
    (line) => [`a thread: ${line}`, header(line + '\n'), /a thread may not be used here/],
  ),
  [
    'a system call by number',
    header('auto f() { return ::syscall(1); }\n'),
    /a system call by number may not be used here/,
  ],
  ['raw memory', header('auto f() { std::memcpy(a, b, 3); }\n'), /copying raw memory may not be used here/],
  [
    'an old string function, even in a test',
    { 'src/flow/flow_test.cc': 'int f() { return std::sprintf(a, "x"); }\n' },
    /an old string function may not be used here/,
  ],
  ['std::regex, even in a test', { 'src/flow/flow_test.cc': 'std::regex r;\n' }, /std::regex may not be used here/],
  ['a page without the order', { 'docs/architecture.md': '# Picture\n' }, /no fenced block/],
];
for (const [name, change, expected] of faults)
  test(`finds ${name}`, () => {
    const problems = problems_with(change);
    assert.equal(problems.length, 1, problems.join('\n'));
    assert.match(problems[0], expected);
  });
