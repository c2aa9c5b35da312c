# Runs one line of a crontab once, as its own user. Sent to `sh -s` as that user; the call follows at the end.
# The line is named by the hash of (user, file, command); this script finds it in the host's own crontab. No command
# text is sent. `mkdir actions/KEY` is the mark that makes a second try of the same key do nothing.
LC_ALL=C; export LC_ALL
mark() { printf '\n\036%s %s\n' "$N" "$1"; }

# The job lines of a crontab on standard input, as "line number, blank, command": $1 system (with a user column) or user.
job_lines() {
  awk -v kind="$1" -v user="$2" '
    { line = $0; sub(/^[ \t]+/, "", line) }
    line == "" || line ~ /^#/ { next }
    line ~ /^("[^"]*"|'"'[^']*'"'|[^ \t=]+)[ \t]*=/ { next }
    { n = (line ~ /^@/) ? 1 : 5
      for (i = 0; i < n; i++) { if (!match(line, /[ \t]+/)) next; line = substr(line, RSTART + RLENGTH) }
      if (kind == "system") {
        if (!match(line, /[ \t]/)) next
        if (substr(line, 1, RSTART - 1) != user) next
        line = substr(line, RSTART + 1) }
      print NR " " line }'
}
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
hash_of() { printf '%s\n%s\n%s' "$1" "$2" "$3" | sha256sum | cut -c1-64; }

# run_once FILE KIND USER HASH ORDINAL KEY SPOOL NOT_AFTER MODE; MODE is look (find the line, start nothing) or run.
run_once() {
  file=$1 kind=$2 user=$3 hash=$4 ordinal=$5 want=$5 key=$6 spool=$7 not_after=$8 mode=$9
  table() { if [ "$kind" = system ]; then cat "$file"; else crontab -l; fi; }
  [ "$(id -un)" = "$user" ] || { mark "REFUSED|this ran as $(id -un), not as $user"; return; }
  lines=$(table 2>&1 | job_lines "$kind" "$user") number=
  old_ifs=$IFS; IFS='
'; set -f
  for l in $lines; do
    [ "$(hash_of "$user" "$file" "${l#* }")" = "$hash" ] || continue
    ordinal=$((ordinal - 1)); [ "$ordinal" -lt 1 ] && { number=${l%% *} command=${l#* }; break; }
  done
  IFS=$old_ifs; set +f
  [ -n "$number" ] || { mark "GONE|$(table 2>&1 >/dev/null | head -n 1)"; return; }
  [ "$mode" = run ] || { mark "LINE|$number"; return; }
  [ "$(date +%s)" -le "$not_after" ] || { mark "LATE|$(date +%s)"; return; }
  d=$spool/$user; umask 027
  mkdir -p "$d/actions" "$d/out" && [ -O "$d" ] && [ ! -L "$d" ] || { mark "SPOOL|$d"; return; }
  for m in "$d"/actions/*/; do # one of ours that still runs
    [ -f "$m/pid" ] && [ ! -f "$m/status" ] && [ "$(cat "$m/job" 2>/dev/null)" = "$hash" ] || continue
    read -r pid birth <"$m/pid"; now=; read -r now <"/proc/$pid/stat"; set -f; set -- ${now##*) }; set +f
    [ "${20-}" = "$birth" ] && { mark "RUNS|$pid"; return; }
  done
  m=$d/actions/$key
  if ! mkdir "$m"; then
    if [ -d "$m" ]; then mark "EXISTS|$key"; else mark "SPOOL|$d/actions"; fi
    return
  fi
  start || { mark "FAILED|could not be started"; echo 126 >"$m/status"; }
}
start() { # as cron's do_command.c: the command ends at the first bare %, the rest is its input, line by line
  echo "$hash" >"$m/job" && wrapper >"$m/sh" || return
  text=$(printf '%s\n' "$command" | awk '{ out = ""; n = length($0)
    for (i = 1; i <= n; i++) { c = substr($0, i, 1); e = substr($0, i + 1, 1)
      if (c == "\\" && (e == "%" || (e == "\\" && !cut))) { out = out e; i++ }
      else if (c == "%") { out = out (cut++ ? "\n" : "\n\n") }
      else out = out c }
    printf "%s", out }'; echo x); text=${text%x}
  cut='

'
  case $text in
  *"$cut"*) data=${text#*"$cut"} text=${text%%"$cut"*}
     case $data in '' | *"${cut%?}") printf %s "$data" ;; *) printf '%s\n' "$data" ;; esac >"$m/stdin" ;;
  *) : >"$m/stdin" ;;
  esac
  home=$(getent passwd "$user" | cut -d: -f6); home=${home:-/}
  settings=$(login_settings; echo "HOME=$home"; table | settings "$number")
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
