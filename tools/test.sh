#!/usr/bin/env bash
# The whole suite, or its part `fast` or `lab`. Sessions side by side: most of the lab's time is waiting for the next
# minute of a cron. Each session has an estate of its own, because what one night leaves red is an incident of the next.
# What a session prints comes when all have ended; the last line adds them up.
set -uo pipefail
cd "$(dirname "$0")/.."

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
trap 'kill $(jobs -p) 2>/dev/null; wait; exit 130' INT TERM

session() { # NAME PYTEST-ARGUMENTS…
  local name=$1
  shift
  printf -- '── %s\n' "$name" >"$logs/$name"
  .venv/bin/python -m pytest -q -p no:cacheprovider --durations=5 "$@" >>"$logs/$name" 2>&1 || touch "$logs/$name.broken"
}

# These wait for Airflow; the others have enough with the next minute.
slow=(first_light inventory_real airflow_real check_real lab_parts lab_main)

chain() { # NAMES… of tests/lab/test_NAME.py, one after the other
  for name; do session "lab_$name" "tests/lab/test_$name.py"; done
}

quick() {
  for file in tests/lab/test_*.py; do
    name=${file#tests/lab/test_}
    case " ${slow[*]} " in *" ${name%.py} "*) ;; *) echo "${name%.py}" ;; esac
  done
}

lab() {
  chain "${slow[@]}" &
  (chain $(quick); session lab_invariants -m lab tests/invariants) &
}

case ${1:-all} in
  fast) session fast -m 'not lab' & ;;
  lab) lab ;;
  all) lab; session fast -m 'not lab' & ;;
  *) echo "tools/test.sh [fast|lab|all]" >&2; exit 2 ;;
esac
wait

count() { grep -hoE "[0-9]+ $1" <(for log in "$logs"/*; do tail -qn 1 "$log"; done) | awk '{n += $1} END {print n + 0}'; }
for log in "$logs"/*; do case $log in *.broken) ;; *) cat "$log"; echo ;; esac; done
broken=$(($(count failed) + $(count 'errors?')))
crashed=0
for log in "$logs"/*.broken; do [ ! -e "$log" ] || crashed=1; done
[ "$crashed" -eq 0 ] || [ "$broken" -gt 0 ] || broken=1
printf '%s passed, %s failed, %s skipped\n' "$(count passed)" "$broken" "$(count skipped)"
exit "$crashed"
