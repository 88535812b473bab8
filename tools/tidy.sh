#!/usr/bin/env bash
# clang-tidy over the sources that changed, newest first.
#
# Changed means: differs from the merge base with origin/main, uncommitted files included. Where HEAD is origin/main
# itself (a fresh clone, as in CI), the last 20 commits count instead, or all of them where there are fewer.
# ZWINGER_TIDY_BASE names another commit. A changed header is checked through a source that includes it.
#
# Tests go without the static analyzer: it takes most of the time, and they run under sanitizers anyway. A file has
# ZWINGER_TIDY_FILE_SECONDS (240); no file is begun after ZWINGER_TIDY_MINUTES (20) altogether, and those that were
# left out are printed. Needs build/release/compile_commands.json, which make tidy sees to.
set -euo pipefail
cd "$(dirname "$0")/.."
build=build/release

if [[ ${1:-} == --one ]]; then # tidy.sh --one SECONDS FILE: one file, quiet when clean
  status=0 checks=
  [[ $3 != *_test.cc ]] || checks='-clang-analyzer-*'
  out=$(timeout "$2" clang-tidy-19 -p "$build" --quiet --checks="$checks" "$3" 2>&1) || status=$?
  ((status == 0)) && exit 0
  ((status == 124)) && echo "tidy: $3: not finished within $2 s"
  grep -vE '^[0-9]+ warnings? (generated|treated)|^Suppressed |^Use -header-filter' <<<"$out" || true
  exit 1
fi

head=$(git rev-parse -q --verify HEAD || true)
main=$(git rev-parse -q --verify origin/main || true)
empty_tree=$(git hash-object -t tree /dev/null)
if [[ -n ${ZWINGER_TIDY_BASE:-} ]]; then
  base=$(git rev-parse --verify "$ZWINGER_TIDY_BASE^{commit}")
elif [[ -n $main && $main != "$head" ]]; then
  base=$(git merge-base "$head" "$main")
else
  base=$(git rev-parse -q --verify 'HEAD~20^{commit}' || echo "$empty_tree")
fi

# Names, newest first: what is not committed, then commit by commit.
changed=$({
  git ls-files --others --exclude-standard -- src
  if [[ -n $head ]]; then
    git diff --name-only HEAD -- src
    if [[ $base == "$empty_tree" ]]; then range=HEAD; else range=$base..HEAD; fi
    git log --format= --name-only "$range" -- src
  fi
} | awk '!seen[$0]++')

files=()
add() { [[ " ${files[*]} " == *" $1 "* ]] || files+=("$1"); }
for path in $changed; do
  [[ -f $path ]] || continue
  case $path in
    *_fuzz.cc | *_bench.cc) ;; # not in the release preset
    *.cc) add "$path" ;;
    *.h)
      stem=${path%.h}
      if [[ -f $stem.cc ]]; then
        add "$stem.cc"
      else
        user=$(grep -rlF --include=*.cc --exclude=*_fuzz.cc "#include \"${path#src/}\"" src | sort | head -n 1 || true)
        [[ -z $user ]] || add "$user"
      fi
      ;;
  esac
done
if ((${#files[@]} == 0)); then
  echo "tidy: no source changed"
  exit 0
fi

deadline=$((SECONDS + 60 * ${ZWINGER_TIDY_MINUTES:-20}))
jobs=${JOBS:-$(nproc)} seconds=${ZWINGER_TIDY_FILE_SECONDS:-240} failed=0 begun=0
for file in "${files[@]}"; do
  ((SECONDS < deadline)) || break
  if (($(jobs -rp | wc -l) >= jobs)); then wait -n || failed=1; fi
  "$0" --one "$seconds" "$file" &
  begun=$((begun + 1))
done
while (($(jobs -p | wc -l) > 0)); do wait -n || failed=1; done
echo "tidy: $begun of ${#files[@]} changed sources checked"
if ((begun < ${#files[@]})); then
  echo "tidy: out of time, left out: ${files[*]:begun}"
fi
exit "$failed"
