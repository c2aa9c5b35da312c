# What a key of Headway may do here: look, and nothing more. sshd runs this instead of what the key's owner asks for; calls
# come on standard input, one a line, and each argument is looked at before a function above sees it.
refuse() { mark "GATE|$1"; mark END; exit 1; }
number() { case $1 in '' | *[!0-9]* | ???????????????????*) refuse "not a number: a call $name" ;; esac; }
one_of() { found=$1; shift; for each in "$@"; do [ "$found" = "$each" ] && return; done; return 1; }
a_log() { # only what stands in LOGS, or the wrapper's records
  one_of "$1" $LOGS && return
  case $1 in *..* | *//* | "$SPOOL"/*/*/*) ;; "$SPOOL"/*/runs) return ;; esac
  refuse "$1 is none of its logs ($LOGS)"
}
call() {
  name=$1; shift
  case $name in
  host) host ;;
  processes)
    case $1 in *[!0-9\ ]*) refuse "not process ids" ;; esac
    processes "$1" "$2" ;;
  crontabs)
    [ "$1" = - ] || number "$1"
    case $3 in *[!A-Za-z0-9_.\ \$-]*) refuse "not names of users" ;; esac
    crontabs "$1" "$SUDO" "$3" ;;
  first_log)
    budget=$1 mode=$2; shift 2
    number "$budget"; one_of "$mode" new tail || refuse "first_log $mode"
    for each in "$@"; do a_log "$each"; done
    first_log "$budget" "$mode" "$@" ;;
  follow)
    a_log "$1"; one_of "$2" new tail || number "$2"
    number "$3"; number "$4"; number "$6"; [ "$7" = shared ] || number "$7"
    one_of "${8-}" '' search || refuse "follow $8"
    follow "$@" ;;
  journal)
    case $1 in *[!A-Za-z0-9=\;]*) refuse "not a place in a journal" ;; esac
    [ "$2" = tail ] || number "$2"
    number "$3"
    journal "$1" "$2" "$3" ;;
  leave) number "$1"; leave "$1" ;;
  new_spools)
    one_of "$2" new tail || refuse "new_spools $2"
    new_spools "$(printf '%s' "$1" | tr '\036' '\n')" "$2" ;;
  chunk)
    case $1 in *..* | *//* | "$SPOOL"/*/*/*/*) refuse "$1 is no output below $SPOOL" ;; "$SPOOL"/*/out/*) ;; *) refuse "$1 is no output below $SPOOL" ;; esac
    number "$2"; [ "$3" = tail ] || number "$3"
    chunk "$1" "$2" "$3" ;;
  who) who ;;
  wrappers)
    for each in "$@"; do case $each in *..* | *//*) refuse "$each is no wrapper" ;; /*/headway-sh) ;; *) refuse "$each is no wrapper" ;; esac; done
    wrappers "$@" ;;
  readable) readable $LOGS ;;
  *) refuse "it only looks; it does not know $name" ;;
  esac
}
left=0 N=none
IFS=' ' read -r greeting version N HISTORY
case $N in '' | *[!0-9a-f]*) echo "headway-gate: this key is for Headway" >&2; exit 1 ;; esac
name=greeting; number "$HISTORY"
[ "$greeting $version" = "headway-gate $VERSION" ] || refuse "it is of version $VERSION, and Headway speaks ${version%%[!0-9]*}"
{
  while IFS= read -r line; do
    IFS=$(printf '\037'); set -f
    set -- $line
    IFS=' 	
'; set +f
    call "$@" </dev/null
  done
  mark END
} 2>/dev/null
