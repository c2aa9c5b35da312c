#!/usr/bin/env bash
# Installs the Debian packages of apt-packages.txt that are missing; without root it names them and fails.
# `apt-install.sh smoke`: those of them that the smoke night needs.
# No package starts a daemon or makes a database cluster, and every file written for that is put back as it was.
set -euo pipefail
cd "$(dirname "$0")/.."
list=tools/apt-packages.txt
marked=${1:+# $1}  # what the line of a package must contain
policy=/usr/sbin/policy-rc.d
clusters=/etc/postgresql-common/createcluster.d/headway-tests.conf
kept=

say() { printf 'packages: %s\n' "$*" >&2; }

missing() {
  local package
  while read -r package _; do
    case $package in ''|'#'*) continue ;; esac
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] && continue
    command -v "$package" >/dev/null || printf '%s ' "$package"  # npm may come with another maker's nodejs
  done < <(grep -F -- "$marked" "$list")
}

hold_daemons() {
  kept=$(mktemp -d)
  [ ! -e "$policy" ] || cp -p "$policy" "$kept/policy-rc.d"
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  # postgresql-common may not be there yet; it keeps a file it finds.
  [ -d "${clusters%/*}" ] || touch "$kept/made-folder"
  mkdir -p "${clusters%/*}"
  printf 'create_main_cluster = false\n' >"$clusters"
}

put_back() {
  [ -n "$kept" ] || return 0
  if [ -e "$kept/policy-rc.d" ]; then cp -p "$kept/policy-rc.d" "$policy"; else rm -f "$policy"; fi
  rm -f "$clusters"
  [ ! -e "$kept/made-folder" ] || rmdir --ignore-fail-on-non-empty -p "${clusters%/*}" 2>/dev/null || true
  rm -rf "$kept"
}

command -v dpkg-query >/dev/null || { say "this is no Debian; install what $list names by your own means, then run: .venv/bin/python -m pytest -m lab"; exit 1; }
wanted=$(missing)
[ -n "$wanted" ] || exit 0
if [ "$(id -u)" != 0 ]; then
  say "missing: $wanted"
  say "install them (as root: apt-get install --no-install-recommends $wanted), or run make as root"
  exit 1
fi
trap put_back EXIT
trap 'exit 130' INT TERM
hold_daemons
say "installing $wanted"
apt-get update -qq
# shellcheck disable=SC2086  # one word per package
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $wanted >"$kept/apt.log" 2>&1 || { tail -20 "$kept/apt.log" >&2; exit 1; }
still=$(missing)
[ -z "$still" ] || { say "apt-get ended well, yet these are still missing: $still"; exit 1; }
