# What the login may do, and becoming another user. Sent on the standard input of `sh -s` before its calls.
LC_ALL=C; export LC_ALL
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin; export PATH
mark() { printf '\n\036%s %s\n' "$N" "$1"; }

# Runs the script on standard input as $1: directly, by runuser (root) or by `sudo -n` ($2 = sudo).
become() {
  if [ "$(id -un)" = "$1" ]; then /bin/sh -s
  elif [ "$(id -u)" = 0 ]; then runuser -u "$1" -- /bin/sh -s
  elif [ "$2" = sudo ]; then sudo -n -H -u "$1" /bin/sh -s
  else echo "sudo is switched off in the config" >&2; return 1; fi
}
as_user() { # USER SUDO SPOOL, script on standard input; REFUSED where we may not become that user
  if [ "$(id -u)" = 0 ] && [ ! -d "$3" ]; then
    mkdir -p "$3" && chgrp adm "$3"; chmod 3773 "$3"
  fi
  { err=$(become "$1" "$2" 2>&1 >&3 3>&-) && rc=0 || rc=$?; } 3>&1 # a job must not hold our channel open
  [ "$rc" -le 128 ] || { mark "KILLED|$((rc - 128))"; mark END; } # it may have acted before
  [ "$rc" = 0 ] || [ "$rc" -gt 128 ] || { mark "REFUSED|$(printf '%s' "$err" | head -n 1)"; mark END; }
}
unknown_users() { # USERS: with the names that a typo may mean
  for u in $1; do id -u -- "$u" >/dev/null 2>&1 || { mark "NOUSER|$u"; cut -d: -f1 /etc/passwd; }; done
}
may_become() { # USERS SUDO
  for u in $1; do
    err=$(become "$u" "$2" </dev/null 2>&1 >/dev/null) && mark "MAY|yes|$u|" || mark "MAY|no|$u|$(printf '%s' "$err" | head -n 1)"
  done
}
# May the login hold lines: of the crontabs of users ($1, as themselves or as root), of the system's ($2, if any)?
may_hold() { # USERS SYSTEM SUDO
  [ "$2" = system ] && { err=$(become root "$3" </dev/null 2>&1 >/dev/null) && mark "HOLD|yes||" || mark "HOLD|no||$(printf '%s' "$err" | head -n 1)"; }
  for u in $1; do
    if [ "$(id -u)" = 0 ]; then said=$(crontab -u "$u" -l 2>&1 >/dev/null)
    else
      err=$(become "$u" "$3" </dev/null 2>&1 >/dev/null) || { mark "HOLD|no|$u|$(printf '%s' "$err" | head -n 1)"; continue; }
      said=$(echo 'crontab -l 2>&1 >/dev/null' | become "$u" "$3" 2>/dev/null)
    fi
    case $said in *allowed* | *"cannot use"*) mark "HOLD|deny|$u|$(printf '%s' "$said" | head -n 1)" ;; *) mark "HOLD|yes|$u|" ;; esac
  done
}
look_for() { # SPOOL USER KEY SUDO: is our mark there? Only where the folder can be seen does absence prove anything.
  m=$1/$2/actions/$3
  if [ -d "$m" ]; then
    status=; [ -f "$m/status" ] && read -r status <"$m/status"
    case $status in *[!0-9a-z]* | ????????????*) status= ;; esac # the folder is its user's: it may lead to any file
    mark "MARK|found|$status"; return
  fi
  if [ ! -d "$1" ]; then mark "MARK|absent|"; return; fi
  echo "cd '$1' && { [ ! -d '$2/actions' ] || ls '$2/actions' >/dev/null; } && { [ -d '$2/actions/$3' ] && echo found || echo absent; }" |
    become "$2" "$4" 2>/dev/null | { read -r answer && mark "MARK|$answer|" || mark "MARK|denied|"; }
}
now() { mark "NOW|$(date +%s)"; }
