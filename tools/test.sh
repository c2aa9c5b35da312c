#!/usr/bin/env bash
# The whole suite, or its part `fast` or `lab`, or the tests at some paths. `fast` leaves out what is marked `deep`, and
# tries each property on fewer examples (tests/properties.py). Sessions side by side: most of the lab's time
# is waiting for the next minute of a cron, and the fast tests work meanwhile. What a session prints comes when all have ended: first what is well, then what
# is not, then the names of what failed; the last line adds them up.
set -uo pipefail
cd "$(dirname "$0")/.."
unset PYTHONDONTWRITEBYTECODE # what one session has compiled is there for the next

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
set -m # a group for each lane: who leaves by Ctrl-C takes the sessions along, and their guards the estates
trap 'for lane in $(jobs -p); do kill -- "-$lane" 2>/dev/null; done; wait; exit 130' INT TERM

# What failed is tried once more by itself and said to have been: the machine is shared with whatever else runs on it.
session() { # NAME PYTEST-ARGUMENTS…
  local name=$1 log=$logs/$1 began=$SECONDS
  shift
  run_pytest "$name" "$log" "$@" ||
    run_pytest "$name" "$log.again" --last-failed --last-failed-no-failures none "$@" || touch "$log.broken"
  printf -- '── %s: from %d s to %d s\n' "$name" "$began" "$SECONDS" >"$log.head"
}

run_pytest() { # NAME LOG PYTEST-ARGUMENTS…; well only where pytest came to its last line
  local cache="$logs/.cache-$1" log=$2
  shift 2
  ${polite:-} .venv/bin/python -m pytest -q -o cache_dir="$cache" --durations=5 "$@" </dev/null >"$log" 2>&1 &&
    tail -n 1 "$log" | grep -qE ' in [0-9.]+s'
}

# Files of tests/lab/test_NAME.py, the longest first. Those of one line share an estate, and the start of its Airflow,
# which costs as much as a minute of work; a night has an estate of its own on that Airflow (`fresh`), because what it
# leaves red is an incident of the next.
airflow=(
  'airflow_holds_real first_light plan_real'
  'airflow_real airflow_acts_real airflow_answers_real backfills_real'
  'check_real lab_main lab_parts faults_real inventory_real'
)
others=(
  pg_cron_real holds_real killed_postgres cron_real store_postgres team_store_real missed_and_stale_real keys_real
  'aws_logs_real batch_real glue_real eventbridge_real' # one server of moto: each asks it for another service
  'kubernetes_real kubernetes_rights_real kubernetes_runs_real'
  'gate_real jump_real refusals_real completion_real'
)

rest() { # what neither list names
  local file name
  for file in tests/lab/test_*.py; do
    name=${file#tests/lab/test_}
    case " ${airflow[*]} ${others[*]} " in *" ${name%.py} "*) ;; *) echo "${name%.py}" ;; esac
  done
}

# Two Airflows at a time are enough for two cores; the others wait for minutes more than they work. A lane that finds its
# own queue empty helps with the others.
lab() { # QUEUES… that it helps with
  printf '%s\n' "${airflow[@]}" >"$logs/.airflow"
  printf '%s\n' "${others[@]}" $(rest) tests/invariants >"$logs/.others"
  lane airflow others "$@" &
  lane airflow others "$@" &
  lane others airflow "$@" &
  lane others airflow "$@" &
}

lane() { # QUEUES…
  local names
  while names=$(take "$@"); do
    case $names in
      fast_*) polite='nice -n 5' session "${names%% *}" -m "$unmarked" ${names#* } ;; # a scheduler that is late is a finding
      tests/*) session "lab_${names##*/}" -m lab "$names" ;;
      *) session "lab_${names// /+}" $(printf 'tests/lab/test_%s.py ' $names) ;;
    esac
  done
}

take() { # QUEUES…: the next line of the first one that has any
  local queue line
  for queue; do
    line=$(flock "$logs/.lock" sed -i -e '1w /dev/stdout' -e 1d "$logs/.$queue")
    [ -z "$line" ] || { echo "$line"; return; }
  done
  return 1
}

# The folders of fast tests, those that take longest first, in pieces of at most so many files: a part of them works, a
# part waits for processes and screens, and no lane has a long piece left when the others have none. A piece costs two
# seconds before its first test: what it imports.
longest=(invariants hostile crash tui connectors control cli engine demo)
PIECE=52

pieces() {
  local folder
  for folder in $(printf '%s\n' "${longest[@]}" $(ls -d tests/*/ | cut -d / -f 2) | awk '!told[$1]++ && $1 != "lab"'); do
    find "tests/$folder" -name 'test_*.py' | sort | dealt "$folder"
  done
  ls tests/test_*.py | dealt top
}

dealt() { # NAME: the lines of its input in pieces of about the same size, each piece a line with its name
  awk -v name="fast_$1" -v most=$PIECE '{ line[NR] = $0 } END {
    pieces = int((NR + most - 1) / most)
    for (piece = 1; piece <= pieces; piece++) {
      printf "%s", name (pieces > 1 ? "_" piece : "")
      for (at = piece; at <= NR; at += pieces) printf " %s", line[at]
      print ""
    }
  }'
}

fast() { # LANES, QUEUES… that they help with
  local lanes=$1 number
  shift
  pieces >"$logs/.fast"
  for ((number = 0; number < lanes; number++)); do lane fast "$@" & done
}

unmarked='not lab'
case ${1:-all} in
  fast) unmarked='not lab and not deep'; fast "$((2 * $(nproc)))" ;;
  lab) lab ;;
  all) export HYPOTHESIS_PROFILE=${HYPOTHESIS_PROFILE:-deep}; fast 2 others; lab fast ;;
  -*) echo "tools/test.sh [fast|lab|all|PATH…]" >&2; exit 2 ;;
  *) session chosen "$@" & ;;
esac
wait

# -- what came of it -------------------------------------------------------------------------------------------------------
last() { for log; do [ ! -e "$log" ] || tail -n 1 "$log"; done; }
count() { grep -oE "[0-9]+ $1" | awk '{n += $1} END {print n + 0}'; }
failed_in() { sed -nE 's/^(FAILED|ERROR) //; T; s/\] - .*/]/; /\]$/! s/ - .*//; p' "$1"; }

tell() { # LOG: what its session printed
  cat "$1.head" "$1"
  [ ! -e "$1.again" ] || { echo '── what failed, once more'; cat "$1.again"; }
  echo
}

name_failures() { # LOG of a session that was tried twice
  failed_in "$1.again" >"$1.still"
  failed_in "$1" | grep -vxFf "$1.still" | sed 's/^/failed and then passed: /'
  [ -e "$1.broken" ] || return 0
  sed 's/^/FAILED /' "$1.still"
  [ -s "$1.still" ] || echo "FAILED ${1##*/}: the session broke off; it stands above"
}

ls "$logs"/*.head >/dev/null 2>&1 || { echo 'FAILED: no session came to its end'; exit 1; }
sessions=() well=() ill=()
for head in "$logs"/*.head; do
  log=${head%.head}
  sessions+=("$log")
  if [ -e "$log.again" ]; then ill+=("$log"); else well+=("$log"); fi
done
for log in "${well[@]}" "${ill[@]}"; do tell "$log"; done
[ ${#sessions[@]} -eq 1 ] || cat "$logs"/*.head
for log in "${ill[@]}"; do name_failures "$log"; done

crashed=$(ls "$logs"/*.broken 2>/dev/null | wc -l)
broken=$(last "${ill[@]/%/.again}" "${well[@]}" | count '(failed|errors?)')
[ "$crashed" -eq 0 ] || [ "$broken" -gt 0 ] || broken=1
passed=$(last "${sessions[@]}" "${ill[@]/%/.again}" | count passed)
printf '%s passed, %s failed, %s skipped\n' "$passed" "$broken" "$(last "${sessions[@]}" | count skipped)"
[ "$crashed" -eq 0 ]
