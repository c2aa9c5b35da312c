#!/usr/bin/env bash
# Makes .venv with Headway in it: `setup.sh run` (what the product needs) or `setup.sh dev` (with what its tests need).
# A second call with nothing changed ends at once: the stamp holds the sum of all that the environment is made from.
set -euo pipefail
cd "$(dirname "$0")/.."
kind=${1:-run}
python=${PYTHON:-python3}
venv=.venv
# Our folder as one line of a .pth: the import hook that setuptools writes otherwise costs every start 9 ms.
plain_path=(--config-settings editable_mode=compat)

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "$@"; exit 1; }

step() {  # TITLE COMMAND...: runs it; on a terminal its line counts the seconds and the packages
  local title=$1 ticker= status=0; shift
  say "$title"
  [ ! -t 2 ] || { tick "$title" & ticker=$!; }
  "$@" || status=$?
  [ -z "$ticker" ] || { kill "$ticker" && wait "$ticker"; } 2>/dev/null || printf '\033[K' >&2
  return "$status"
}

tick() {  # ends with the script; what a command prints takes the place of the line
  local begun=$SECONDS have
  while kill -0 $$ 2>/dev/null; do
    have=$(find "$venv" -maxdepth 4 -name '*.dist-info' 2>/dev/null | wc -l) || true
    printf 'setup: %s: %s s, %s installed\033[K\r' "$1" $((SECONDS - begun)) "$((have))" >&2
    sleep 1
  done
}

check_python() {
  command -v "$python" >/dev/null || fail "no $python on this machine. Install it (Debian: apt-get install python3 python3-venv), then try again."
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$("$python" --version) is too old: Headway needs Python 3.11 or newer. Name one with PYTHON=/path/to/python3.11 make ..."
  "$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "$("$python" --version) cannot make a virtual environment. Install it (Debian: apt-get install python3-venv), then try again."
}

# uv reads neither pip.conf nor PIP_*; what this machine says there is handed over. As in pip, every index counts alike.
teach_uv() {
  local url links
  url=$(pip_setting index-url); links=$(pip_setting find-links)
  [ -z "$url" ] || export UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-$url}
  [ -z "$links" ] || export UV_FIND_LINKS=${UV_FIND_LINKS:-$(existing "$links")}
  url=$(pip_setting extra-index-url)
  [ -z "$url" ] || export UV_INDEX=${UV_INDEX:-$(existing "$url")}
  export UV_INDEX_STRATEGY=${UV_INDEX_STRATEGY:-unsafe-best-match}
  url=$(pip_setting cert)
  [ -z "$url" ] || export SSL_CERT_FILE=${SSL_CERT_FILE:-$url}
}

pip_setting() {  # the environment wins over the files, as it does in pip
  local name; name=PIP_$(tr 'a-z-' 'A-Z_' <<<"$1")
  [ -z "${!name:-}" ] || { printf '%s' "${!name}"; return; }
  "$venv/bin/python" -m pip config get "install.$1" 2>/dev/null || "$venv/bin/python" -m pip config get "global.$1" 2>/dev/null || true
}

existing() {  # words that are no local folder, or one that is there: uv stops at a missing one where pip only warns
  local word path out=
  for word in $1; do
    path=${word#file://}
    case $word in /*|file://*) [ -d "$path" ] || continue ;; esac
    out="$out${out:+ }$word"
  done
  printf '%s' "$out"
}

install_with_uv() {
  pinned uv >"$venv/uv.txt"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --requirement "$venv/uv.txt" || return 1
  (teach_uv; "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --compile-bytecode \
    --constraints constraints.txt "${plain_path[@]}" --editable ".[$1]")
}

pinned() {  # NAME...: their pins with all hashes
  local name
  for name in "$@"; do sed -n "/^$name==/,/[^\\]\$/p" constraints.txt; done
}

# pip takes no hashes beside an editable package, and none as constraints. So all that is pinned is installed by its
# hashes, what only the tests need too, and then our own code, with the setuptools that came with it.
install_with_pip() {
  env -u PYTHONDONTWRITEBYTECODE "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --compile \
    --require-hashes --requirement constraints.txt || return 1
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation "${plain_path[@]}" --editable .
}

extra=all
[ "$kind" = dev ] && extra=dev
sum=$(cat pyproject.toml constraints.txt "$0" | cksum | tr -d ' ')
stamp=$venv/.ready-$kind
is_ready() {  # the stamp of dev counts for run too: what the tests need holds what the product needs
  local have
  for have in "$stamp" "$venv/.ready-dev"; do
    if [ -x "$venv/bin/headway" ] && [ "$(cat "$have" 2>/dev/null)" = "$sum" ]; then return 0; fi
  done
  return 1
}
! is_ready || exit 0

check_python
mkdir -p "$venv"
if command -v flock >/dev/null; then exec 9>"$venv/.setup-lock"; flock 9; fi  # two makes at once: the second waits (.lock is uv's own)
! is_ready || exit 0
say "making .venv ($extra), a minute or two"
"$venv/bin/python" -m pip --version >/dev/null 2>&1 || step "1 of 3: the environment" "$python" -m venv "$venv"
step "2 of 3: the packages" install_with_uv "$extra" || step "uv could not install here; trying pip" install_with_pip
# our own modules too: the first start should not pay for it
step "3 of 3: compiling" env -u PYTHONDONTWRITEBYTECODE "$venv/bin/python" -m compileall -q console connectors ||
  say "one of our modules did not compile; see above"
printf '%s\n' "$sum" >"$stamp"
say "ready: .venv/bin/headway"
