# Runs one line of a crontab once, as its own user. Sent to `sh -s` as that user after line.sh; the call follows at the
# end. `mkdir actions/KEY` is the mark that makes a second try of the same key do nothing.
# The variables that a crontab sets above line $1, as NAME=VALUE, as cron reads them (entry.c, env.c).
settings() {
  awk -v end="$1" '
    function bare(s) { sub(/^[ \t]+/, "", s); sub(/[ \t]+$/, "", s)
      if (s ~ /^".*"$/ || s ~ /^'"'.*'"'$/) s = substr(s, 2, length(s) - 2)
      return s }
    NR >= end { exit }
    { line = $0; sub(/^[ \t]+/, "", line) }
    line ~ /^#/ { next }
    match(line, /^("[^"]*"|'"'[^']*'"'|[^ \t=]+)[ \t]*=/) {
      name = bare(substr(line, 1, RLENGTH - 1))
      if (name ~ /^[A-Za-z_][A-Za-z0-9_]*$/ && name != "LOGNAME") print name "=" bare(substr(line, RLENGTH + 1)) }'
}
# What pam_env gives to Debian's cron jobs: /etc/environment and /etc/default/locale.
login_settings() {
  sed -n "s/^[ \t]*\(export[ \t]\{1,\}\)\{0,1\}\([A-Za-z_][A-Za-z0-9_]*\)=\([\"']\{0,1\}\)\(.*\)\3[ \t]*\$/\2=\4/p" \
    /etc/environment /etc/default/locale 2>/dev/null
}
# run_once FILE KIND USER HASH ORDINAL KEY SPOOL NOT_AFTER MODE; MODE is look (find the line, start nothing) or run.
run_once() {
  file=$1 kind=$2 user=$3 hash=$4 want=$5 key=$6 spool=$7 not_after=$8 mode=$9
  not_me "$user" && return
  find_line "$want" || { gone; return; }
  if [ "$kind" = anacron ]; then
    tool=$(PATH=$PATH:/usr/sbin:/sbin command -v anacron) || { mark "TOOL|anacron"; return; }
  fi
  [ "$mode" = run ] || { mark "LINE|$number"; return; }
  too_late "$not_after" && return
  own_folder "$spool" "$user" || return
  for m in "$d"/actions/*/; do # one of ours that still runs
    [ -f "$m/pid" ] && [ ! -f "$m/status" ] && [ "$(cat "$m/job" 2>/dev/null)" = "$hash" ] || continue
    read -r pid was <"$m/pid"
    born "$pid" && [ "$birth" = "$was" ] && { mark "RUNS|$pid"; return; }
  done
  mark_once "$key" || return
  run=start; [ "$kind" = anacron ] && run=by_anacron
  $run || { mark "FAILED|could not be started"; echo 126 >"$m/status"; }
}
# The one job by anacron itself, under its lock: with its table's variables, its mail, and its stamp of today. It ends
# with 0 whatever the job did, so what it says tells the status: 75 where another anacron runs the job, 70 for no end.
by_anacron() {
  echo "$hash" >"$m/job" && wrapper >"$m/sh" || return
  text='"$ANACRON" -d -f -n -t "$ANACRON_TABLE" "$ANACRON_JOB" 2>&1 | awk "$ANACRON_SAYS"'
  says='{ print; fflush() }
    / terminated/ { seen = 1; code = 0; n = split($0, w, /[ ()]+/)
      for (i = 1; i < n; i++) { if (w[i] == "status:") code = w[i + 1]; if (w[i] == "signal") code = 128 + w[i + 1] }
      if ($0 ~ /abnormally/) code = 70 }
    / locked by another anacron/ { locked = 1 }
    END { exit seen ? code : locked ? 75 : 70 }'
  cd / && umask 022
  setsid -f env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LOGNAME=root SHELL=/bin/sh ANACRON="$tool" \
    ANACRON_TABLE="$file" ANACRON_JOB="${command%%[[:blank:]]*}" ANACRON_SAYS="$says" HEADWAY_SHELL=/bin/sh \
    HEADWAY_SPOOL="$spool" HEADWAY_ACTION="$key" HEADWAY_JOB="$hash.$want" /bin/sh "$m/sh" -c "$text" \
    </dev/null >/dev/null 2>&1 || return
  mark "STARTED|$key|$(date +%s)"
}
start() { # as cron's do_command.c: the command ends at the first bare %, the rest is its input, line by line
  echo "$hash" >"$m/job" && wrapper >"$m/sh" || return
  text=$(printf '%s\n' "$command" | awk '{ out = ""; n = length($0)
    for (i = 1; i <= n; i++) { c = substr($0, i, 1); e = substr($0, i + 1, 1)
      if (c == "\\" && (e == "%" || (e == "\\" && !cut))) { out = out e; i++ }
      else if (c == "%") { out = out (cut++ ? "\n" : "\n\n") }
      else out = out c }
    printf "%s", out }'; echo x); text=${text%x}
  [ "$kind" = busybox ] && text=${command%%#*} # which knows no %, and of the variables SHELL alone
  cut='

'
  case $text in
  *"$cut"*) data=${text#*"$cut"} text=${text%%"$cut"*}
     case $data in '' | *"${cut%?}") printf %s "$data" ;; *) printf '%s\n' "$data" ;; esac >"$m/stdin" ;;
  *) : >"$m/stdin" ;;
  esac
  home=$(getent passwd "$user" | cut -d: -f6); home=${home:-/}
  settings=$(login_settings; echo "HOME=$home"; table | settings "$number")
  [ "$kind" = busybox ] && settings=$(echo "HOME=$home"; table | settings "$number" | grep -E '^(HEADWAY_)?SHELL=')
  old_ifs=$IFS; IFS='
'; set -f
  set -- HOME="$home" LOGNAME="$user" PATH=/usr/bin:/bin SHELL=/bin/sh $settings
  IFS=$old_ifs; set +f
  shell=/bin/sh inner=
  for v in "$@"; do case $v in SHELL=*) shell=${v#SHELL=} ;; HEADWAY_SHELL=*) inner=${v#*=} ;; HOME=*) home=${v#*=} ;; esac; done
  case $shell in */headway-sh) shell=${inner:-/bin/sh} ;; esac
  cd "$home" 2>/dev/null || cd /
  umask 022
  setsid -f env -i "$@" HEADWAY_SHELL="$shell" HEADWAY_SPOOL="$spool" HEADWAY_ACTION="$key" \
    HEADWAY_JOB="$hash.$want" /bin/sh "$m/sh" -c "$text" <"$m/stdin" >/dev/null 2>&1 || return
  mark "STARTED|$key|$(date +%s)"
}
