# One look at the systemd timers of a host, sent on the standard input of `sh -s`; its calls follow, every value quoted.
# Needs systemd 249 or newer (list-timers as JSON, --timestamp=unix), journalctl, sed, head, date. Nothing is written.
# Sections begin with a line: byte 036, the nonce N of this call, a space, the kind, then fields separated by "|".
LC_ALL=C SYSTEMD_COLORS=0 SYSTEMD_PAGER=; export LC_ALL SYSTEMD_COLORS SYSTEMD_PAGER
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin; export PATH
mark() { printf '\n\036%s %s\n' "$N" "$1"; }

host() {
  read -r boot </proc/sys/kernel/random/boot_id
  read -r up idle </proc/uptime
  mark "HOST|$(date '+%s.%N|%z')|$up|$boot"
}
me() { mark "ME|$(id -un)|$(id -Gn)|$(systemctl --version 2>&1 | head -n 1)|$(readlink /etc/localtime)"; }

# Every timer with its next and last elapse, how it is set, and what is known now of the services that they start, and
# of UNITS. One that is disabled and stopped is no loaded unit: its file tells of it; one without a file is loaded.
timers() { # UNITS, separated by white space
  mark "TIMERS"
  systemctl list-timers --all --no-pager --output=json 2>&1
  set -f
  loaded=$(systemctl list-units --type=timer --all --plain --no-legend --no-pager 2>/dev/null | sed 's/ .*//')
  files=$(systemctl list-unit-files --type=timer --no-legend --no-pager 2>/dev/null | sed 's/ .*//' | grep -v '@\.timer$')
  mark "NAMES|$(printf '%s' "$loaded" | grep -c .)|$(printf '%s' "$files" | grep -c .)"
  names=$(printf '%s\n%s\n' "$loaded" "$files" | grep . | sort -u)
  services=$1
  if [ -n "$names" ]; then
    mark "SET"
    systemctl show --timestamp=unix -p Id,Unit,Description,TimersCalendar,TimersMonotonic,RandomizedDelayUSec,RandomizedOffsetUSec,AccuracyUSec,UnitFileState,ActiveState,FragmentPath -- $names 2>&1
    services=$(systemctl show -p Unit -- $names 2>/dev/null | sed -n 's/^Unit=//p'; printf '%s\n' $services)
  fi
  services=$(printf '%s\n' $services | grep . | sort -u)
  [ -n "$services" ] && services "$services"
}
services() { # UNITS, separated by white space
  set -f
  mark "SERVICES"
  systemctl show --timestamp=unix -p Id,Description,LoadState,ActiveState,SubState,Result,InvocationID,ExecMainCode,ExecMainStatus,ExecMainStartTimestamp,ExecMainExitTimestamp,ExecStart,User,FragmentPath -- $1 2>&1
}

# What the manager wrote of the life of units since CURSOR (or since the instant SINCE), and our own marks, in bites.
# JEND tells that all was read; a bite that is cut has none.
journal() { # CURSOR SINCE BYTES
  from=--after-cursor=$1; [ -n "$1" ] || from=--since=@$2
  mark "JOURNAL"
  { journalctl --output=json --no-pager --output-fields=MESSAGE_ID,MESSAGE,UNIT,INVOCATION_ID,EXIT_CODE,EXIT_STATUS,UNIT_RESULT,JOB_RESULT,SYSLOG_IDENTIFIER "$from" \
      MESSAGE_ID=7d4958e842da4a758f6c1cdc7b36dcc5 MESSAGE_ID=39f53479d3a045ac8e11786248231fbf \
      MESSAGE_ID=be02cf6855d2428ba40df7e9d022f03d MESSAGE_ID=98e322203f7a4ed290d09fe03c09fe15 \
      MESSAGE_ID=7ad2d189f7e94e70a38c781354912448 MESSAGE_ID=d9b373ed55a64feb8242e02dbe79a49c \
      MESSAGE_ID=de5b426a63be47a7b6ac3eaac82e2f6f MESSAGE_ID=0e4284a0caca4bfc81c0bb6786972673 \
      MESSAGE_ID=5eb03494b6584870a536b337290809b3 + SYSLOG_IDENTIFIER=headway-act 2>&1
    mark "JEND|$?"; } | head -c "$3"
}

# The output of one invocation: its last LIMIT bytes, or LIMIT bytes after START.
output() { # INVOCATION LIMIT START|tail
  set -- "_SYSTEMD_INVOCATION_ID=$1" "$2" "$3"
  size=$(journalctl -q --no-pager -o cat "$1" 2>/dev/null | wc -c)
  start=$3; [ "$start" = tail ] && { start=$((size - $2)); [ "$start" -lt 0 ] && start=0; }
  mark "CHUNK|$start|$size"
  journalctl -q --no-pager -o cat "$1" 2>/dev/null | tail -c +"$((start + 1))" | head -c "$2"
}
