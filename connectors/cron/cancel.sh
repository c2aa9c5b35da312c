# Ends what runs of one attempt. Sent to `sh -s` after line.sh, as the attempt's own user. A process is named by pid, start
# and boot, so it is that one or gone; it must lead its own session, as cron and our reruns start every job. Whom it ended
# is written down beside the wrapper's records: H2 C epoch pid birth boot-id action

# end_run USER PID BIRTH BOOT KEY SPOOL NOT_AFTER MODE; MODE is look (signal nothing) or run.
end_run() {
  pid=$2 was=$3 boot=$4 key=$5 not_after=$7
  not_me "$1" && return
  its_own || return
  [ "$8" = run ] || { mark "RUNS|$pid|$(members | wc -w)"; return; }
  too_late "$not_after" && return
  own_folder "$6" "$1" && mark_once "$key" || return
  printf 'H2\tC\t%s\t%s\t%s\t%s\t%s\n' "$(date +%s)" "$pid" "$was" "$boot" "$key" >>"$d/runs"
  all=$(members) count=0
  its_own || { echo gone >"$m/status"; return; }
  kill -s TERM -- "-$pid" 2>/dev/null && count=$(echo $all | wc -w)
  for p in $all; do # those of the session that made a group of their own
    born "$p" && [ "$session" = "$pid" ] && [ "$group" != "$pid" ] && kill -s TERM "$p" 2>/dev/null
  done
  [ "$count" -gt 0 ] && echo ended >"$m/status" || echo gone >"$m/status"
  mark "ENDING|$count"
}
its_own() {
  here=; read -r here </proc/sys/kernel/random/boot_id
  [ "$here" = "$boot" ] && born "$pid" && [ "$birth" = "$was" ] || { mark "ENDED|$pid"; return 1; }
  [ "$session" = "$pid" ] && [ "$group" = "$pid" ] || { mark "SHARED|$pid"; return 1; }
}
members() { # pids of the session
  for s in /proc/[0-9]*; do born "${s#/proc/}" && [ "$session" = "$pid" ] && printf '%s ' "${s#/proc/}"; done
}
