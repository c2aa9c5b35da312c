#!/usr/bin/env bash
# The whole suite in three sessions side by side: most of the lab's time is waiting for the next minute of a cron.
# Each has its own estate; what each prints comes when it has ended, and the last line adds them up.
set -uo pipefail
cd "$(dirname "$0")/.."

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
trap 'kill $(jobs -p) 2>/dev/null; wait; exit 130' INT TERM

declare -A chosen=(
  [airflow]='lab and airflow'
  [lab]='lab and not airflow'
  [fast]='not lab'
)
declare -A process
for name in airflow lab fast; do
  .venv/bin/python -m pytest -q -m "${chosen[$name]}" -p no:cacheprovider --durations=5 >"$logs/$name" 2>&1 &
  process[$name]=$!
done

failed=0
for name in fast lab airflow; do
  wait "${process[$name]}" || failed=1
  printf '\n── %s: pytest -m "%s"\n' "$name" "${chosen[$name]}"
  cat "$logs/$name"
done

count() { grep -hoE "[0-9]+ $1" <(tail -qn 1 "$logs"/*) | awk '{n += $1} END {print n + 0}'; }
broken=$(($(count failed) + $(count 'errors?')))
[ "$failed" -eq 0 ] || [ "$broken" -gt 0 ] || broken=1
printf '\n%s passed, %s failed, %s skipped\n' "$(count passed)" "$broken" "$(count skipped)"
exit "$failed"
