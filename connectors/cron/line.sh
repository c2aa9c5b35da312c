# Finds one line of the host's own crontab by the hash of (user, file, command). Sent before act.sh and hold.sh: no
# command text is ever sent. The callers set file, kind (system: with a user column; user), user and hash.
LC_ALL=C; export LC_ALL
mark() { printf '\n\036%s %s\n' "$N" "$1"; }
first() { printf '%s' "$1" | head -n 1 | cut -c1-200; }
hash_of() { printf '%s\n%s\n%s' "$1" "$2" "$3" | sha256sum | cut -c1-64; }

# The crontab as it is. Without CRONTAB_NOHEADER Debian's crontab(1) hides the first three lines if they are comments.
crontab_now() {
  if [ "$kind" = system ] || [ "$kind" = anacron ] || is_file; then cat "$file"
  elif [ "$(id -un)" = "$user" ]; then CRONTAB_NOHEADER=N crontab -l
  else CRONTAB_NOHEADER=N crontab -u "$user" -l
  fi
}
is_file() { [ "$(id -u)" = 0 ] && [ -f "$file" ]; } # root reads the file itself, where it is the one we know of
table() { crontab_now; }
# The id of a hold's mark, where a whole line is one; connectors/cron/crontab.py reads the same.
MARK_ID='function mark_id(s, w) {
  if (split(s, w, " ") < 5 || s !~ /^# headway-hold id=headway-[0-9a-z]+ by=[A-Za-z0-9_.@+-]+ until=[0-9TZ:.-]+( |\r?$)/) return ""
  if (length(w[3]) < 21 || length(w[3]) > 51 || length(w[4]) > 67) return ""
  sub(/\r$/, "", w[5]); if (length(w[5]) < 26 || length(w[5]) > 33) return ""
  return substr(w[3], 4) }'
# The jobs of anacron's table on standard input, as "line number, -, name and command"; a `\` at its end continues a line.
anacron_lines() {
  awk '
    { line = pending $0; pending = "" }
    line ~ /\\$/ { pending = substr(line, 1, length(line) - 1); next }
    { gsub(/^[ \t]+|[ \t]+$/, "", line) }
    line ~ /^#/ || line ~ /^[A-Za-z_][A-Za-z0-9_]*[ \t]*=/ { next }
    match(line, /^([0-9]+|@[a-z]+)[ \t]+[0-9]+[ \t]+/) { print NR " - " substr(line, RLENGTH + 1) }'
}
# The job lines of a crontab on standard input, as "line number, id of its hold or -, command": a line that is commented
# out right below a hold's mark is held, and the same job as ever.
job_lines() {
  [ "$kind" != anacron ] || { anacron_lines; return; }
  awk -v kind="$kind" -v user="$user" "$MARK_ID"'
    { held = above; above = mark_id($0); line = $0
      if (held != "") { if (line !~ /^#/) held = ""; else line = substr(line, 2) }
      sub(/^[ \t]+/, "", line) }
    line == "" || line ~ /^#/ { next }
    line ~ /^("[^"]*"|'"'[^']*'"'|[^ \t=]+)[ \t]*=/ { next }
    { n = (line ~ /^-?@/) ? 1 : 5
      for (i = 0; i < n; i++) { if (!match(line, /[ \t]+/)) next; line = substr(line, RSTART + RLENGTH) }
      if (kind == "system") {
        if (!match(line, /[ \t]/)) next
        if (substr(line, 1, RSTART - 1) != user) next
        line = substr(line, RSTART + 1) }
      print NR " " (held == "" ? "-" : held) " " line }'
}
# Sets number, held and command: of the $1th line of that hash, or of the one that is held under $2.
find_line() {
  nth=$1 id=${2-} number= held= command= lines=$(table 2>&1 | job_lines) old_ifs=$IFS
  IFS='
'; set -f
  for l in $lines; do
    rest=${l#* }
    [ -z "$id" ] || [ "${rest%% *}" = "$id" ] || continue
    [ "$(hash_of "$user" "$file" "${rest#* }")" = "$hash" ] || continue
    nth=$((nth - 1)); [ "$nth" -lt 1 ] && { number=${l%% *} held=${rest%% *} command=${rest#* }; break; }
  done
  IFS=$old_ifs; set +f
  [ -n "$number" ]
}
gone() { mark "GONE|$(table 2>&1 >/dev/null | head -n 1)"; }
too_late() { [ "$(date +%s)" -gt "$1" ] && mark "LATE|$(date +%s)"; }
not_me() { [ "$(id -un)" != "$1" ] && mark "REFUSED|this ran as $(id -un), not as $1"; }
is_ours() { [ ! -L "$1" ] && [ -d "$1" ] && [ -O "$1" ]; } # everybody may make entries in the spool, links too
# The folder of user $2 in spool $1: sets d.
own_folder() {
  d=$1/$2; umask 027
  [ -d "$1" ] || mkdir -p "$1"
  { is_ours "$d" || mkdir "$d"; } && is_ours "$d" && mkdir -p "$d/actions" "$d/out" || { mark "SPOOL|$d"; return 1; }
}
# The mark of action $1, made once: sets m. A second try of the same key stops here.
mark_once() {
  m=$d/actions/$1
  mkdir "$m" && return
  if [ -d "$m" ]; then mark "EXISTS|$1"; else mark "SPOOL|$d/actions"; fi
  return 1
}
born() { # PID: sets its parent, group, session and birth in ticks since boot; false where it is gone or a zombie
  stat=; read -r stat <"/proc/$1/stat" || return 1
  set -f; set -- ${stat##*) }; set +f
  parent=$2 group=$3 session=$4 birth=${20-}
  [ "$1" != Z ] && [ -n "$birth" ]
}
