#!/usr/bin/env bash
# Installs what is missing to build, run and test Zwinger on Debian 12, then the locked npm packages into
# ./node_modules (they bring Node.js 22; node_modules/.bin/node is the one that everything here uses).
# Says nothing and takes a fraction of a second when all is there. Exit 2: something is missing and cannot
# be installed by this user; the exact command to run is printed.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
  ca-certificates
  ccache
  clang-19
  clang-format-19
  clang-tidy-19
  cmake
  git
  libboost1.81-dev
  libclang-rt-19-dev # sanitizers and libFuzzer
  libcli11-dev
  libgtest-dev
  libre2-dev
  libspdlog-dev
  libsqlite3-dev
  libssl-dev
  libutf8proc-dev
  libyaml-cpp-dev
  lld-19
  llvm-19 # llvm-ar, llvm-ranlib, llvm-symbolizer
  make
  mandoc # a test has it look at the manual pages
  nginx-light # a neighbour for the tests of smuggling, and for bench/
  ninja-build
  openssl # the program: a test of TLS makes certificates with it
  pkg-config
  procps # a test lists the processes that are left
  strace # a test watches fdatasync come before the answer
)

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  echo "bootstrap: this is not a Debian system. Install the equivalents of these, and npm, by hand:" >&2
  echo "  ${packages[*]}" >&2
  exit 2
fi

# Any client will do: one that came with another Node.js is not replaced.
command -v npm >/dev/null || packages+=(npm)

missing=()
installed=$(dpkg-query -W -f='${Package} ${db:Status-Status}\n' "${packages[@]}" 2>/dev/null || true)
for package in "${packages[@]}"; do
  grep -qxF "$package installed" <<<"$installed" || missing+=("$package")
done

if ((${#missing[@]} > 0)); then
  if ((EUID != 0)); then
    echo "bootstrap: missing Debian packages. Run this as root, then try again:" >&2
    echo "  apt-get update && apt-get install -y --no-install-recommends ${missing[*]}" >&2
    exit 2
  fi
  echo "bootstrap: installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq update </dev/null
  apt-get -qq -o Dpkg::Use-Pty=0 install -y --no-install-recommends "${missing[@]}" </dev/null >/dev/null
fi

# npm ci starts from nothing, so it runs only when the lock file is not the one that was last installed.
stamp=node_modules/.installed-lock.json
if ! cmp -s package-lock.json "$stamp"; then
  echo "bootstrap: installing the npm packages of package-lock.json"
  npm ci --no-progress --loglevel=error </dev/null
  # The package fits the machine or npm left it out. Old npm clients drop its link in .bin, so lay it here.
  (cd node_modules/.bin && ln -sfn ../node-linux-*/bin/node node)
  if ! node_modules/.bin/node --version >/dev/null 2>&1; then
    echo "bootstrap: package-lock.json brings Node.js 22 for Linux on x86-64 and arm64 only;" \
      "this is $(uname -s) on $(uname -m)" >&2
    exit 2
  fi
  cp package-lock.json "$stamp"
fi
