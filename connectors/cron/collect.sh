# One look at a cron host, sent on the standard input of `sh -s`; its calls follow at the end, every value quoted, after
# N (of this call), HISTORY (bytes) and SPOOL (the folder of the wrapper's records).
# dash is enough; besides it: stat, date, cksum, tail, head, ls, gzip, awk, id, Linux's /proc. Nothing is written on the host.
# Sections begin with a line: byte 036, the nonce N of this call, a space, the kind, then fields separated by "|".
LC_ALL=C SYSTEMD_COLORS=0 logged= real=; export LC_ALL SYSTEMD_COLORS
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin; export PATH
NL='
'
ETC=${HEADWAY_ETC:-/etc} CRONTABS=${HEADWAY_CRONTABS-}
[ -n "$CRONTABS" ] || for CRONTABS in /var/spool/cron/crontabs "$ETC/crontabs" /var/spool/cron; do [ -d "$CRONTABS" ] && break; done
mark() { printf '\n\036%s %s\n' "$N" "$1"; }

# Clock, zone offset, uptime and boot id of the host.
host() {
  read -r boot </proc/sys/kernel/random/boot_id
  read -r up idle </proc/uptime
  clock=$(date '+%s.%N|%z'); case $clock in *N\|*) clock=${clock%%.*}\|${clock##*|} ;; esac # some busybox knows no %N
  mark "HOST|$clock|$up|$boot"
}

# cron's own children and theirs, the pids that the caller asks for ($1), and, where $2 says so, our reruns, which are no
# children of cron. No command line of anybody leaves the host
# but the daemon's own, which tells its log level. No process is started for it: /proc is read by the shell itself.
processes() {
  asked=$1; [ -n "$2" ] && asked="$asked$(reruns)"
  crond= args= seen=all name=
  [ -r /proc/1/stat ] || seen=hidden
  read -r crond </run/crond.pid; crond=${crond##* }
  [ -n "$crond" ] && read -r name <"/proc/$crond/comm"
  case $name in
  cron | crond | busybox) ;;
  *) name= crond=$(find_daemon); [ -n "$crond" ] && read -r name <"/proc/$crond/comm" ;;
  esac
  which_program
  [ -n "$crond" ] && read -r args <"/proc/$crond/cmdline"
  mark "PROC|$args"
  echo "crond $crond $seen"
  [ -n "$program" ] && echo "program $program"
  echo "pids $asked"
  kids=
  [ -n "$crond" ] && read -r kids <"/proc/$crond/task/$crond/children"
  for c in $kids; do
    born "$c" && echo "child $c $parent $birth"
    jobs=; read -r jobs <"/proc/$c/task/$c/children"
    for j in $jobs; do born "$j" && echo "job $j $parent $birth"; done
  done
  for p in $asked; do # the kernel may leave one out of a list of children while another ends: those we know are asked for
    born "$p" || continue
    j="$p $parent $birth" c=$parent
    if [ "$parent" = "$crond" ]; then echo "child $j"
    elif born "$c" && [ "$parent" = "$crond" ]; then echo "job $j"; echo "child $c $parent $birth"
    else echo "asked $j"; fi
  done
}
born() { # PID: its parent, and its start in ticks since boot; false where it is gone or a zombie
  line=; read -r line <"/proc/$1/stat" || return 1
  set -f; set -- ${line##*) }; set +f
  parent=$2 birth=${20-}
  [ "$1" != Z ] && [ -n "$birth" ]
}
find_daemon() { # where no pid file tells: a cron whose parent is process 1, so not that of a container
  for d in /proc/[0-9]*; do
    name=; read -r name <"$d/comm" || continue
    case $name in cron | crond) born "${d#/proc/}" && [ "$parent" = 1 ] && { echo "${d#/proc/}"; return; } ;; esac
  done
}

which_program() { # whose the daemon is, or without one what would be started; nothing is said of Debian's
  program= exe=
  [ "$name" = cron ] && return
  [ -z "$name" ] && command -v cron >/dev/null && return
  [ -n "$crond" ] && exe=$(readlink "/proc/$crond/exe")
  [ -n "$exe" ] || exe=$(command -v crond) && exe=$(readlink -f "$exe")
  case $name$exe in *busybox*) program=busybox ;; *crond*) program=cronie ;; esac
}

# Pids of our reruns that have no exit status yet.
reruns() {
  for m in "$SPOOL"/*/actions/*/pid; do
    [ ! -f "${m%pid}status" ] && opened "$m" && read -r pid birth <"$at" || continue
    case $pid in '' | *[!0-9]*) ;; *) printf ' %s' "$pid" ;; esac
  done
}

# All crontabs, their text only when the checksum of their stamps (ctime in nanoseconds) is not $1. $2: sudo or nothing. $3: users to ask for, or nothing.
crontabs() {
  old=$1 sudo=$2 asked=$3
  set -- "$ETC"/crontab "$ETC"/cron.d/* "$ETC"/anacrontab
  [ "$program" = busybox ] && set -- # it reads users' crontabs only
  own=; [ -r "$CRONTABS/." ] && { own=all; set -- "$@" "$CRONTABS"/*; }
  bucket=; [ -z "$own" ] && { read -r up idle </proc/uptime; bucket=$((${up%.*} / 600)); }
  sum=$(stat -c "%N %a %u %s %i %y %z$bucket$program" "$@" "$CRONTABS" "$ETC/localtime" "$ETC/timezone" "$ETC/passwd" 2>/dev/null | cksum)
  mark "TABS|${sum%% *}|$own"
  [ "${sum%% *}" = "$old" ] && return
  zone= daemon_zone=
  read -r zone <"$ETC/timezone"
  [ -n "$crond" ] && [ -r "/proc/$crond/environ" ] &&
    daemon_zone=$(tr '\0' '\n' <"/proc/$crond/environ" | sed -n 's/^TZ=//p')
  mark "ZONE|$daemon_zone|$(readlink "$ETC/localtime")|$zone"
  for f in "$@"; do
    [ -f "$f" ] || continue
    if [ -r "$f" ]; then link=; [ -L "$f" ] && link=link; mark "TAB|$(stat -Lc "%a,%h,$link|%U" "$f")|$f"; cat "$f"
    elif [ -n "$sudo" ]; then by_sudo "$f"
    else mark "DENIED|$f"; fi
  done
  names
  [ -z "$own" ] && user_crontabs
}
by_sudo() {
  mark "TAB|-|-|$1"
  { err=$(sudo -n /usr/bin/cat "$1" 2>&1 >&3) && rc=0 || rc=1; } 3>&1
  mark "TABEND|$rc|$err"
}
# Names of all users that exist among the words that may be user names in the system's crontabs: any word, as cron asks
# getpwnam for it; and of users' crontabs, where these can be listed. id takes a number for a uid: then the name must be
# that number.
names() {
  mark "NAMES|$own"
  { for f in "$ETC/crontab" "$ETC"/cron.d/*; do
    if [ -r "$f" ]; then cat "$f"; elif [ -n "$sudo" ]; then sudo -n /usr/bin/cat "$f"; fi
  done |
    awk '{ if (held) sub(/^#/, ""); held = /^# headway-hold id=/ } !/^[ \t]*#/ { print ($1 ~ /^-?@/ ? $2 : $6) }'
    [ -z "$own" ] || ls "$CRONTABS"
  } | sort -u | grep -v -e '^$' -e '^+' | while read -r u; do
      case $u in *[!0-9]*) id -u -- "$u" >/dev/null ;; *) [ "$(id -un -- "$u")" = "$u" ] ;; esac && printf '%s\n' "$u"
    done
}
with_crontab() { # names of users; of all that may have one, where the folder cannot be listed
  if [ -n "$sudo" ] && have=$(sudo -n /usr/bin/ls "$CRONTABS"); then printf '%s\n' "$have" | grep -v '^tmp\.' # crontab(1)'s copies
  else awk -F: '$3 == 0 || ($3 >= 1000 && $3 < 65000) { print $1 }' /etc/passwd | head -n 60; fi
}
user_crontabs() {
  me=$(id -un)
  [ -n "$asked" ] || asked=$(with_crontab)
  for u in $asked; do
    if [ "$u" = "$me" ]; then
      mark "TAB|600|-|$CRONTABS/$u"
      { err=$(CRONTAB_NOHEADER=N crontab -l 2>&1 >&3) && rc=0 || rc=1; } 3>&1 # else leading comments are hidden
      mark "TABEND|$rc|$err"
    elif [ -n "$sudo" ]; then by_sudo "$CRONTABS/$u"
    else mark "DENIED|$CRONTABS/$u"; fi
  done
}

# -- logs ---------------------------------------------------------------------------------------------------------
# A place in a log is an offset and the cksum of the (at most 256) bytes before it: inode numbers come back.
width() { w=$1; [ "$w" -gt 256 ] && w=256; }
# Sets `at`, from where FILE is read; false where it may not be. Below SPOOL everybody has a folder: what lies there is
# opened once and read by what was opened, so that no link leads out of it, also none that comes between two looks.
opened() { # FILE
  at=$1
  case $1 in "$SPOOL"/*) ;; *) return 0 ;; esac
  [ -f "$1" ] && [ ! -L "$1" ] && command exec 3<"$1" && at=/proc/self/fd/3 && leads_to "$1" "$at"
}
leads_to() { # FILE below SPOOL, by which path
  [ -n "$real" ] || real=$(readlink -f "$SPOOL")
  [ "$(readlink -f "$2")" = "$real${1#"$SPOOL"}" ]
}
unpacked() { # a bomb ends here; `most`: what was the live log when we read it may hold lines that pack even better
  gzip -dc <"$at" | head -c "${most:-$(($(stat -Lc %s "$at") * 100 + 1000000))}"
}
size_of() { # FILE
  size=0; opened "$1" || return
  case $1 in *.gz) size=$(unpacked | wc -c) ;; *) size=$(stat -Lc %s "$at") ;; esac; size=${size:-0}
}
whole() { # sends a file from its start; one that is gone is being rotated: stop here and go on at the next look
  [ "$1" = "$p" ] && [ ! -e "$p" ] && return 0
  [ -e "$1" ] || { mark MORE; return 1; }
  [ -r "$1" ] || return 0
  size_of "$1"; [ "$size" -gt 0 ] || [ -e "$1" ] || { mark MORE; return 1; }
  piece "$1" 0 "$size"
}
holds() { # file offset sum: is our place in this file?
  opened "$1" || return
  width "$2"
  case $1 in
  *.gz) s=$(unpacked | tail -c +"$(($2 - w + 1))" | head -c "$w" | cksum) ;;
  *) s=$(stat -Lc %s "$at"); [ "${s:-0}" -ge "$2" ] || return 1
     s=$(tail -c +"$(($2 - w + 1))" "$at" | head -c "$w" | cksum) ;;
  esac
  [ "${s%% *}" = "$3" ]
}
piece() { [ "$3" -le "$2" ] || proved "$@"; } # file offset size: what follows the offset, if anything
proved() { # the same, after the w bytes that prove the place, as far as `left` allows
  opened "$1" || return 0
  width "$2"
  mark "LOG|$2|$w|$((w + left))|$3|$1"
  case $1 in
  *.gz) unpacked | tail -c +"$(($2 - w + 1))" | head -c "$((w + left))" ;;
  *) tail -c +"$(($2 - w + 1))" "$at" | head -c "$((w + left))" ;;
  esac
  left=$((left - ($3 - $2)))
  [ "$left" -gt 0 ] || { mark MORE; return 1; }
}
rotated() { # newest first; a link may lead anywhere; a .gz that is still being made has its origin beside it and does not count yet
  ls -t "$1".[0-9]* "$1"-[0-9]* 2>/dev/null | head -n 60 |
    while IFS= read -r o; do
      [ -L "$o" ] && continue
      case $o in *.gz) [ -e "${o%.gz}" ] && continue ;; esac
      printf '%s\n' "$o"
    done
}

# follow PATH OFFSET|new|tail SUM INODE TAG SINCE BUDGET|shared [search]
follow() {
  p=$1 at=$1 off=$2 sum=$3 ino=$4 tag=$5 since=$6 how=${8-} most=
  case $7 in shared) [ "$left" -gt 0 ] || left=1 ;; *) left=$7 ;; esac
  if [ -e "$p" ] && ! opened "$p" && { [ -r "$p" ] || ! leads_to "$p" "$p"; }; then mark "FILE|absent||$p"; return 1; fi
  s=$(stat -Lc '%i|%s|%y|%U|%F|%w' "$at")
  if [ -z "$s" ]; then # rotated, and the new file is not there yet: what the old one still holds is ours
    case $off in new | tail | 0) mark "FILE|absent||$p"; return 1 ;; esac
    s='0|0|-|-|none|-'
  elif [ ! -r "$p" ]; then mark "FILE|denied|$s|$p"; id -un; id -Gn; return; fi
  mark "FILE|ok|$s|$p"; logged=yes
  [ "$s" = "$tag" ] && return
  now=${s%%|*}; size=${s#*|}; size=${size%%|*}
  old_ifs=$IFS; IFS=$NL; set -f
  case $off in
  tail) if [ "$size" -gt "$left" ]; then piece "$p" "$((size - left + 1))" "$size"; else piece "$p" 0 "$size"; fi ;;
  *) if [ "$now" = "$ino" ] && [ "$size" -ge "$off" ] && [ -z "$how" ] && [ "$off" != new ]; then
       proved "$p" "$off" "$size" # also where nothing seems new: another file may have grown to the same size
     else
       width "$size"; first=$w head=$(beginning)
       case $off in new) history ;; *) seek ;; esac
       mark "AFTER|$(stat -Lc '%i|%s|%w' "$p")|$([ "$(beginning)" = "$head" ] && echo same)"
     fi ;;
  esac
  IFS=$old_ifs; set +f
}
beginning() { opened "$p" && head -c "$first" "$at" | cksum; } # is it the same file once all was read? else somebody rotated it meanwhile
history() { # what is still there, oldest first, as far back as HISTORY bytes
  kept= total=0
  for o in $(set +f; rotated "$p"); do
    [ -r "$o" ] || continue
    s=$(stat -Lc %s "$o"); case $o in *.gz) s=$((s * 10)) ;; esac
    total=$((total + ${s:-0})); [ "$total" -gt "$HISTORY" ] && break
    kept="$o$NL$kept"
  done
  for o in $kept "$p"; do whole "$o" || return; done
}
seek() { # our place is in the live file or in a rotated one; what is newer follows, oldest first
  newer= found= unread=
  case $ino:$p in 0:* | *:"$SPOOL"/*) ;; *) most=$((off + left + 1)) ;; esac # anybody may pack a file below SPOOL
  for o in "$p" $(set +f; rotated "$p"); do
    if [ -r "$o" ] && holds "$o" "$off" "$sum"; then found=$o; break; fi
    [ -r "$o" ] || [ ! -e "$o" ] || unread=$o
    newer="$o$NL$newer"
  done
  if [ -n "$found" ]; then
    size_of "$found"; piece "$found" "$off" "$size" || return
  else
    mark "GAP|$unread|$p"; kept=
    for o in $newer; do
      s=$(stat -Lc %Y "$o")
      if [ "$o" = "$p" ] || [ "${s:-0}" -ge "$since" ]; then kept="$kept$o$NL"; fi
    done
    newer=$kept
  fi
  for o in $newer; do whole "$o" || return; done
}
leave() { left=$1; } # so many bytes of all files together
# cron's log is the first of these that is there, also where it is denied: a later one may lack cron's lines.
first_log() { # BUDGET MODE PATH...
  budget=$1 mode=$2; shift 2
  for candidate in "$@"; do follow "$candidate" "$mode" 0 0 - 0 "$budget" && return; done
}
# What cron wrote into the journal after CURSOR, or since the second SINCE (tail: the last lines), where its log is not
# read. JEND tells that all was read; a bite that is cut has none.
journal() { # CURSOR SINCE|tail BYTES
  [ -z "$logged" ] && command -v journalctl >/dev/null || return
  from=--after-cursor=$1
  [ -n "$1" ] || { from=--since=@$2; [ "$2" = tail ] && from=--lines=1500; }
  mark "JOURNAL"
  { journalctl --output=json --no-pager --output-fields=MESSAGE,SYSLOG_IDENTIFIER,SYSLOG_PID,_PID "$from" \
      -t CRON -t CROND -t cron -t crond -t anacron 2>&1
    mark "JEND|$?"; } | head -c "$3"
}
# The wrapper's records of users that the caller does not follow yet ($1: known paths, one a line), as far as `left` goes.
new_spools() { # KNOWN MODE
  seen=absent; [ -d "$SPOOL" ] && seen=denied; [ -r "$SPOOL" ] && [ -x "$SPOOL" ] && seen=ok
  mark "SPOOL|$seen|$SPOOL"
  for runs in "$SPOOL"/*/runs; do
    [ -f "$runs" ] && [ ! -L "$runs" ] && [ ! -L "${runs%/*}" ] || continue
    case ${runs#"$SPOOL"} in *[[:cntrl:]]* | *..*) continue ;; esac # no user's name: anybody may make a folder there
    case "$NL$1$NL" in *"$NL$runs$NL"*) continue ;; esac
    [ "$left" -gt 1 ] || { mark MORE; return; }
    follow "$runs" "$2" 0 0 - 0 shared
  done
}
# The end of a job's output ($2 bytes), or $2 bytes after offset $3.
chunk() { # FILE LIMIT START; a file of SPOOL/USER/out
  f=$1 limit=$2 start=$3 old=
  if ! opened "$f"; then
    if [ -f "$f" ] && [ ! -r "$f" ] && leads_to "$f" "$f"; then mark "CHUNK|denied|0|0|"; else mark "CHUNK|absent|0|0|"; fi
    return
  fi
  size_of "$f"; all=$size
  if [ -e "$f.old" ] && opened "$f.old"; then old=cut; size_of "$f.old"; all=$((all + size)); fi
  [ "$start" = tail ] && { start=$((all - limit)); [ "$start" -lt 0 ] && start=0; }
  mark "CHUNK|ok|$start|$all|$old"
  { [ -n "$old" ] && opened "$f.old" && cat "$at"; opened "$f" && cat "$at"; } | tail -c +"$((start + 1))" | head -c "$limit"
}
# -- rights -------------------------------------------------------------------------------------------------------
who() {
  mark "ME|$(id -un)|$(id -u)|$(id -Gn)|$(uname -sr)"
  if [ ! -d "$SPOOL" ]; then mark "SPOOLDIR|absent"
  elif [ -r "$SPOOL" ] && [ -x "$SPOOL" ]; then mark "SPOOLDIR|ok"; else mark "SPOOLDIR|denied"; fi
  for d in "$SPOOL"/*; do # whose folder is taken by somebody else: the wrapper records nothing there
    u=${d##*/}
    case $u in *[!A-Za-z0-9_.-]* | -*) continue ;; esac
    id -u "$u" >/dev/null 2>&1 || continue
    owner=$(stat -c %U "$d"); { [ "$owner" = "$u" ] && [ ! -L "$d" ]; } || mark "TAKEN|$u|$owner"
  done
}
wrappers() { # PATH...: which of the wrappers that crontabs name are there
  for p in "$@"; do
    if [ -x "$p" ]; then mark "WRAPPER|yes|$p"; else mark "WRAPPER||$p"; fi
  done
}
readable() { # as first_log
  for p in "$@"; do
    if [ -r "$p" ]; then mark "READ|ok|$p"; logged=yes; return; fi
    if [ -e "$p" ]; then mark "READ|denied|$p"; return; fi
    mark "READ|absent|$p"
  done
}
