# Changing one job of a Slurm cluster, once, under our mark in its comment. Follows collect.sh; its call stands at the end.
OPEN='^(PENDING|RUNNING|SUSPENDED|COMPLETING|CONFIGURING|STAGE_OUT|RESIZING|SIGNALING|STOPPED)'
known() { squeue -h -a -t all -j "$1" -o "$2" 2>&1; }
late() { [ "$(date +%s)" -gt "$1" ] && mark LATE; }
# The end of an act on several parts: DONE, PARTLY where Slurm refused some of them, REFUSED where it refused all.
ends() { # DONE|NOTHING REFUSED-PART WHY
  if [ -z "$2" ]; then [ -n "$1" ] && mark "DONE|$1" || mark NOTHING
  elif [ -n "$1" ]; then mark "PARTLY|$1|$2|$(said "$3")"
  else mark "REFUSED|$(said "$3")"; fi
}
said() { printf '%s' "$1" | head -n 1 | cut -c 1-200; }

# What a job's parts are now: submission, state, priority, id, comment, user, name. GONE where slurmctld has forgotten it.
job() { # ID
  if found=$(known "$1" "%V$D%T$D%Q$D%i$D%k$D%u$D%j$D"); then mark "JOB|$(scontrol show job "$1" 2>/dev/null | sed -n 's/.*\(Requeue=[01]\).*/\1/p' | head -n 1)"; printf '%s\n' "$found" | joined 7; else mark "GONE|$(said "$found")"; fi
}
failed() { # ID: parts of an array whose last try failed, by accounting
  mark "FAILED"
  sacct -X -P -n --delimiter="$D" --format=JobID,State -j "$1" 2>/dev/null | awk -F"$D" '
    $2 ~ /^(FAILED|TIMEOUT|OUT_OF_MEMORY|NODE_FAIL|CANCELLED|BOOT_FAIL|DEADLINE|PREEMPTED)/ && $1 !~ /\[/ { print $1 }'
}
text_of() { # PART USER: its batch script, as slurmctld or accounting keeps it
  kept=$(scontrol write batch_script "$1" - 2>/dev/null) && case $kept in '#!'*) printf '%s\n' "$kept"; return ;; esac
  kept=$(sacct -B -j "$1" -u "$2" 2>/dev/null | awk '/^Batch Script for /{ if (n++) exit; next } n && !line++ && /^-+$/ { next } n')
  case $kept in '#!'*) printf '%s\n' "$kept" ;; *) return 1 ;; esac
}
script() { # PART USER
  if kept=$(text_of "$1" "$2"); then mark "SCRIPT|$(printf '%s\n' "$kept" | cksum)"; else mark "NOSCRIPT"; fi
}

requeue() { # ID PARTS KEY NOTAFTER
  late "$4" && return
  now=$(known "$1" '%T %k') || { mark "GONE|$(said "$now")"; return; }
  case $now in *"headway-run id=$3 "*) mark EXISTS; return ;; esac
  busy=$(known "$2" '%T' | grep -E "$OPEN" | head -n 1)
  [ -z "$busy" ] || { mark "RUNS|$busy"; return; }
  parts=$2 rest=
  refusal=$(scontrol requeue "$2" 2>&1) || { # of a list some may be queued by now: none of them waited or ran before
    now=$(known "$2" '%i %T')
    parts=$(printf '%s\n' "$now" | awk -v "open=$OPEN" '$2 ~ open { printf "%s%s", (n++ ? "," : ""), $1 }')
    rest=$(printf '%s\n' "$now" | awk -v "open=$OPEN" '$2 !~ open { printf "%s%s", (n++ ? "," : ""), $1 }')
    [ -n "$parts" ] || { mark "REFUSED|$(said "$refusal")"; return; }
  }
  at=$(known "$parts" '%V' | sort -n | head -n 1)
  words=$(known "$parts" '%k' | head -n 1 | sed 's/^(null)$//; s/ \{0,1\}headway-run id=[^ ]* at=[0-9]*//')
  told=$(scontrol update JobId="$parts" Comment="${words:+$words }headway-run id=$3 at=$at" 2>&1) || { [ -n "$rest" ] || { mark "UNMARKED|$(said "$told")"; return; }; }
  ends "$parts" "$rest" "$refusal"
}
submit() { # KEY NOTAFTER SINCE USER PART OPTION…
  late "$2" && return
  key=$1 since=$3 user=$4 part=$5; shift 5
  seen=$(found "$key" "$since"); [ -z "$seen" ] || { mark "EXISTS|$seen"; return; }
  kept=$(text_of "$part" "$user") || { mark NOSCRIPT; return; }
  if told=$(printf '%s\n' "$kept" | as "$user" sbatch --parsable --comment="headway-run id=$key at=$(date +%s)" "$@" 2>&1)
  then mark "DONE|$(printf '%s' "$told" | tail -n 1)"; else mark "REFUSED|$(said "$told")"; fi
}
found() { # KEY SINCE: the job that bears our key, in the queue or in accounting
  { squeue -h -a -t all -o "%F$D%k$D" 2>/dev/null | joined 2; sacct -a -X -D -p -n --delimiter="$D" -S "uts$2" --format=JobID,Comment,SubmitLine 2>/dev/null | joined 3; } |
    awk -F"$D" -v "key=headway-run id=$1 " 'index($0, key) { print $1; exit }'
}
look_for() { # KEY SINCE ID
  squeue -h -a -o %i >/dev/null 2>&1; queue=$?
  sacct -X -n -S now -o jobid >/dev/null 2>&1; mark "LOOKED|$queue|$?|$(found "$1" "$2")"
  [ -z "$3" ] || job "$3"
}
cancel() { # ID NOTAFTER
  late "$2" && return
  now=$(known "$1" '%T') || { mark "GONE|$(said "$now")"; return; }
  printf '%s\n' "$now" | grep -q -E "$OPEN" || { mark OVER; return; }
  if told=$(scancel "$1" 2>&1); then mark "DONE|$1"; else mark "REFUSED|$(said "$told")"; fi
}
# A waiting part by its id of now, its priority and comment. squeue takes no "7_[2-6]", which is "7_[3-6]" a moment later.
waiting() { # PART
  case $1 in *\[*) squeue -h -a -t PENDING -j "${1%%_*}" -o '%i %Q %k' | grep '^[0-9]*_\[' ;; *) squeue -h -a -t PENDING -j "$1" -o '%i %Q %k' ;; esac 2>/dev/null |
    head -n 1 | sed 's/^\([^ %]*\)%[0-9]*\]/\1]/'
}
hold() { # KEY MARK NOTAFTER PART…
  late "$3" && return
  key=$1 text=$2 held= rest= why=; shift 3
  for part in "$@"; do
    now=$(waiting "$part"); part=${now%% *} now=${now#* }
    words=${now#* }; [ "$words" != "(null)" ] || words=
    case $now in
    '') continue ;;
    *"headway-hold id=$key "*) [ "${now%% *}" != 0 ] || { held=$part; continue; } ;;
    *"headway-hold id="*) [ -n "$held" ] || { mark "MARKED|$part"; return; }; rest=$part why="it is held by another"; continue ;;
    0\ *) continue ;;
    *) told=$(scontrol update JobId="$part" Comment="${words:+$words }$text" 2>&1) || { rest=$part why=$told; continue; } ;;
    esac
    if told=$(scontrol hold "$part" 2>&1); then held=$part
    else scontrol update JobId="$part" Comment="$words" >/dev/null 2>&1; rest=$part why=$told; fi
  done
  ends "$held" "$rest" "$why"
}
release() { # HOLD ENABLE NOTAFTER PART…
  late "$3" && return
  id=$1 enable=$2 freed= rest= why=; shift 3
  for part in "$@"; do
    now=$(waiting "$part"); part=${now%% *} now=${now#* }
    case $now in *"headway-hold id=$id "*) ;; *) continue ;; esac
    if [ "$enable" = yes ] && [ "${now%% *}" = 0 ]; then
      told=$(scontrol release "$part" 2>&1) || { rest=$part why=$told; continue; }
      freed=$part
    fi
    words=$(printf '%s' "${now#* }" | sed "s/ \{0,1\}headway-hold id=$id by=[^ ]* until=[^ ]*//")
    if told=$(scontrol update JobId="$part" Comment="$words" 2>&1); then freed=$part; else rest=$part why=$told; fi
  done
  ends "$freed" "$rest" "$why"
}
