#!/usr/bin/env bash
# Proves the README's promise: on a Debian 12 that has only git, make and root, a clone runs and passes its
# tests. Makes such a system with debootstrap in a scratch folder, clones this repository into it, and runs
# the commands there with a clean environment.
#
#   tools/fresh-debian.sh [--worktree] [--keep] [COMMAND...]
#
#   COMMAND     one word each to the shell; by default 'make run ONCE=1' and 'make test'
#   --worktree  take the files as they lie here, committed or not, instead of HEAD
#   --keep      leave the scratch folder; its path is printed
#
# How this machine reaches Debian's and npm's registries (apt sources and proxy, CA certificates, npm
# registry) is copied in; nothing else of it is seen from inside. Needs root, debootstrap and unshare; about
# 4 GB in ${TMPDIR:-/var/tmp}. Exit 0 only if every command succeeded.
set -euo pipefail

# Second life: inside a mount and PID namespace of its own, so that mounts and processes vanish with it.
if [[ ${1:-} == --inside ]]; then
  root=$2
  shift 2
  mount --make-rprivate /
  mount -t proc proc "$root/proc"
  mount --rbind /dev "$root/dev"
  mount --rbind /sys "$root/sys"
  for command in "$@"; do
    echo "fresh: $command"
    start=$SECONDS
    status=0
    chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM=dumb \
      ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
      bash -c "cd /root/zwinger && $command" </dev/null || status=$?
    echo "fresh: $command: exit $status after $((SECONDS - start)) s"
    ((status == 0)) || exit 1
  done
  exit 0
fi

worktree= keep=
while [[ ${1:-} == --* ]]; do
  case $1 in
    --worktree) worktree=1 ;;
    --keep) keep=1 ;;
    *) sed -n '2,/^set/{/^set/!s/^# \{0,1\}//p}' "$0"; exit 2 ;;
  esac
  shift
done
(($# > 0)) || set -- 'make run ONCE=1' 'make test'
if ((EUID != 0)) || ! command -v debootstrap unshare >/dev/null; then
  echo "fresh: needs root, and: apt-get install --no-install-recommends debootstrap util-linux" >&2
  exit 2
fi

repo=$(cd "$(dirname "$0")/.." && pwd)
scratch=$(mktemp -d "${TMPDIR:-/var/tmp}/zwinger-fresh.XXXXXX")
root=$scratch/root
if [[ -n $keep ]]; then
  echo "fresh: keeping $scratch"
else
  trap 'rm -rf --one-file-system "$scratch"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
fi

echo "fresh: making a minimal Debian 12"
codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
mirror=
if [[ $codename == bookworm ]]; then
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' \
    'Codename: bookworm' | head -n 1)
fi
if ! debootstrap --variant=minbase --include=ca-certificates,git,make bookworm "$root" ${mirror:+"$mirror"} \
  >"$scratch/debootstrap.log" 2>&1; then
  tail -n 20 "$scratch/debootstrap.log" >&2
  exit 1
fi

cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
if [[ $codename == bookworm ]]; then
  for sources in /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources; do
    if [[ -s $sources ]]; then
      rm -f "$root/etc/apt/sources.list"
      cp "$sources" "$root$sources"
    fi
  done
fi
apt-config dump | grep -iE '^Acquire::https?::Proxy' >"$root/etc/apt/apt.conf.d/99proxy" || true
cp -rL /usr/local/share/ca-certificates/. "$root/usr/local/share/ca-certificates/"
chroot "$root" update-ca-certificates >/dev/null 2>&1
cat /etc/ssl/certs/ca-certificates.crt >"$root/etc/ssl/certs/ca-certificates.crt"
echo "cafile=/etc/ssl/certs/ca-certificates.crt" >"$root/root/.npmrc"
if command -v npm >/dev/null; then
  echo "registry=$(cd / && npm config get registry 2>/dev/null)" >>"$root/root/.npmrc"
fi

if [[ -n $worktree ]]; then
  mkdir "$root/root/zwinger"
  (cd "$repo" && git ls-files -z --cached --others --exclude-standard |
    tar --null --ignore-failed-read -T - -c 2>/dev/null) | tar -x --no-same-owner -C "$root/root/zwinger"
  git -C "$root/root/zwinger" init -q -b main
  git -C "$root/root/zwinger" add -A
  git -C "$root/root/zwinger" -c user.name=fresh -c user.email=fresh@zwinger.invalid commit -q -m 'work tree'
else
  git clone -q --no-local "$repo" "$root/root/zwinger"
fi

unshare --mount --pid --fork --kill-child "$0" --inside "$root" "$@"
