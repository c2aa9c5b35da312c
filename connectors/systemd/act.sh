# Starting and stopping one service, once, under our mark in the journal. Follows collect.sh; its call stands at the end.
# The mark is written before anything is asked of systemd: what bears it is never sent again.
# Where systemd refused, a second mark takes the key back: what starts the unit afterwards is not Headway's. Where it
# did not answer, a second mark records that.
marked() { # KEY SINCE UNIT WORD…
  at=$2 key=$1 unit=$3; shift 3
  for word in "$@"; do set -- "$@" -e "$key $word $unit"; shift; done
  journalctl -q --no-pager -o cat SYSLOG_IDENTIFIER=headway-act --since="@$at" 2>/dev/null | grep -F -x "$@"
}
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; elif [ "$SUDO" = sudo ]; then sudo -n "$@"; else echo "sudo is switched off in the config" >&2; return 1; fi; }

may() { # UNIT: may the login start and stop it?
  for verb in start stop; do
    if [ "$(id -u)" = 0 ]; then mark "MAY|yes|$verb|$1"
    elif [ "$SUDO" = sudo ] && sudo -n -l systemctl "$verb" --no-block -- "$1" >/dev/null 2>&1; then mark "MAY|yes|$verb|$1"
    else mark "MAY|no|$verb|$1"; fi
  done
}
look_for() { # KEY SINCE UNIT
  if marked "$1" "$2" "$3" refused >/dev/null; then mark "MARK|absent|refused"
  elif marked "$1" "$2" "$3" silent >/dev/null; then mark "MARK|silent|"
  elif said=$(marked "$1" "$2" "$3" start stop); then mark "MARK|found|$said"; else mark "MARK|absent|"; fi
}
act() { # start|stop UNIT KEY NOTAFTER SINCE INVOCATION
  [ "$(date +%s)" -le "$4" ] || { mark LATE; return; }
  [ -z "$(marked "$3" "$5" "$2" refused)" ] || { mark "REFUSED|it was refused under this key before"; return; }
  [ -z "$(marked "$3" "$5" "$2" silent)" ] || { mark "SILENT|systemd did not answer under this key before"; return; }
  [ -z "$(marked "$3" "$5" "$2" start stop)" ] || { mark EXISTS; return; }
  now=$(systemctl show -p InvocationID --value -- "$2") state=$(systemctl show -p ActiveState --value -- "$2")
  case $1,$state in
  start,active | start,activating | start,reloading) mark "RUNS|$state"; return ;;
  stop,inactive | stop,failed) mark "OVER|$state"; return ;;
  esac
  [ "$1" = start ] || [ "$now" = "$6" ] || { mark "OTHER|$now"; return; }
  printf '%s %s %s\n' "$3" "$1" "$2" | systemd-cat -t headway-act || { mark NOMARK; return; }
  marked "$3" "$5" "$2" "$1" >/dev/null || { sleep 1; marked "$3" "$5" "$2" "$1" >/dev/null; } || { mark NOMARK; return; }
  if said=$(as_root systemctl "$1" --no-block -- "$2" 2>&1); then mark "DONE"
  else
    case $said in *"timed out"* | *"without replying"* | *"onnection reset"*) word=silent kind=SILENT ;; *) word=refused kind=REFUSED ;; esac
    printf '%s %s %s\n' "$3" "$word" "$2" | systemd-cat -t headway-act
    mark "$kind|$(printf '%s' "$said" | head -n 1)"
  fi
}
