#!/usr/bin/env bash
# Runs the fuzzers that were built, two at a time, longest first, each from a copy of its corpus in fuzz/<name>/.
#
#   tools/fuzz.sh SECONDS [NAME=SECONDS...]      SECONDS for each fuzzer, save those that are named
#
# Exit 1 when a fuzzer finds something, has no corpus, or is named but not built. The input that did it stays in
# build/fuzz/found/<name>/, and the command that repeats it is printed.
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ ${1:-} == --one ]]; then # fuzz.sh --one SECONDS PROGRAM
  name=$(basename "$3") seconds=$2 found=build/fuzz/found/$(basename "$3")
  if [[ -z $(ls -A "fuzz/$name" 2>/dev/null) ]]; then
    echo "fuzz: $name: no corpus in fuzz/$name"
    exit 1
  fi
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  mkdir -p "$scratch/corpus" "$found"
  cp "fuzz/$name"/* "$scratch/corpus/"
  options=(-max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1)
  [[ ! -f fuzz/$name.dict ]] || options+=(-dict="fuzz/$name.dict")
  if "$3" "${options[@]}" -artifact_prefix="$found/" "$scratch/corpus" >"$scratch/log" 2>&1; then
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$scratch/log")
    echo "fuzz: $name: $runs inputs in $seconds s from a corpus of $(ls "fuzz/$name" | wc -l), no finding"
    exit 0
  fi
  grep -vE '^#[0-9]+' "$scratch/log" | tail -n 60
  echo "fuzz: $name: FOUND SOMETHING; repeat with: $3 $found/*"
  exit 1
fi

default=${1:?usage: tools/fuzz.sh SECONDS [NAME=SECONDS...]}
shift
declare -A seconds=()
for program in build/fuzz/src/*_fuzz; do
  [[ ! -x $program ]] || seconds[$(basename "$program")]=$default
done
for named in "$@"; do
  if [[ -z ${seconds[${named%%=*}]:-} ]]; then
    echo "fuzz: ${named%%=*} is not built"
    exit 1
  fi
  seconds[${named%%=*}]=${named#*=}
done
if ((${#seconds[@]} == 0)); then
  echo "fuzz: no fuzzer is built in build/fuzz"
  exit 1
fi
for name in "${!seconds[@]}"; do echo "${seconds[$name]} build/fuzz/src/$name"; done |
  sort -k1,1nr -k2 | xargs -P 2 -L 1 "$0" --one || exit 1
