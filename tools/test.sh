#!/usr/bin/env bash
# The whole suite, or its part `fast` or `lab`. Sessions side by side: most of the lab's time is waiting for the next
# minute of a cron. Each session has an estate of its own, because what one night leaves red is an incident of the next.
# What a session prints comes when all have ended; the last line adds them up.
set -uo pipefail
cd "$(dirname "$0")/.."

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
trap 'kill $(jobs -p) 2>/dev/null; wait; exit 130' INT TERM

# What failed is tried once more by itself and said to have been: the machine is shared with whatever else runs on it.
session() { # NAME PYTEST-ARGUMENTS…
  local name=$1
  shift
  printf -- '── %s\n' "$name" >"$logs/$name"
  run_pytest "$name" "$@" >>"$logs/$name" 2>&1 && return
  printf -- '── %s, what failed once more\n' "$name" >"$logs/$name.again"
  run_pytest "$name" --last-failed --last-failed-no-failures none "$@" >>"$logs/$name.again" 2>&1 || touch "$logs/$name.broken"
}

run_pytest() { # NAME PYTEST-ARGUMENTS…
  local cache="$logs/.cache-$1"
  shift
  .venv/bin/python -m pytest -q -o cache_dir="$cache" --durations=5 "$@"
}

# What waits for Airflow, what waits for PostgreSQL, and the rest, which has enough with the next minute.
airflow=(first_light plan_real inventory_real airflow_real airflow_acts_real airflow_holds_real check_real faults_real
  lab_parts lab_main)
postgres=(killed_postgres pg_cron_real pg_cron_acts_real faults_store_real store_postgres team_store_real holds_real)

chain() { # NAMES… of tests/lab/test_NAME.py, one after the other
  for name; do session "lab_$name" "tests/lab/test_$name.py"; done
}

rest() {
  for file in tests/lab/test_*.py; do
    name=${file#tests/lab/test_}
    case " ${airflow[*]} ${postgres[*]} " in *" ${name%.py} "*) ;; *) echo "${name%.py}" ;; esac
  done
}

lab() {
  chain "${airflow[@]}" &
  chain "${postgres[@]}" &
  (chain $(rest); session lab_invariants -m lab tests/invariants) &
}

case ${1:-all} in
  fast) session fast -m 'not lab' & ;;
  lab) lab ;;
  all) lab; session fast -m 'not lab' & ;;
  tests/*) session chosen "$@" & ;;
  *) echo "tools/test.sh [fast|lab|all|tests/PATH…]" >&2; exit 2 ;;
esac
wait

last() { for log; do [ ! -e "$log" ] || tail -n 1 "$log"; done; }
count() { grep -oE "[0-9]+ $1" | awk '{n += $1} END {print n + 0}'; }

ended=() firsts=()
for log in "$logs"/*; do
  case $log in
    *.broken) ;;
    *.again) cat "$log"; echo; ended+=("$log") ;;
    *) cat "$log"; echo; firsts+=("$log"); [ -e "$log.again" ] || ended+=("$log") ;;
  esac
done
again=$(ls "$logs"/*.again 2>/dev/null | wc -l)
crashed=$(ls "$logs"/*.broken 2>/dev/null | wc -l)
passed=$(last "${firsts[@]}" "$logs"/*.again | count passed)
broken=$(($(last "${ended[@]}" | count failed) + $(last "${ended[@]}" | count 'errors?')))
[ "$crashed" -eq 0 ] || [ "$broken" -gt 0 ] || broken=1
[ "$again" -eq 0 ] || echo "$again session(s) had failures that were tried once more; they stand above"
printf '%s passed, %s failed, %s skipped\n' "$passed" "$broken" "$(last "${firsts[@]}" | count skipped)"
[ "$crashed" -eq 0 ]
