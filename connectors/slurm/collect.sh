# One look at a Slurm cluster, sent on the standard input of `sh -s`; its calls follow, every value quoted.
# Needs squeue, sacct, scontrol and sacctmgr of Slurm 21.08 or newer, awk, date. Nothing is written.
# Sections begin with a line: byte 036, the nonce N of this call, a space, the kind, then fields separated by "|".
# Fields of rows are separated by D, which has part of the nonce: no name and no comment can pass for a row.
LC_ALL=C SLURM_TIME_FORMAT=%s SLURM_BITSTR_LEN=0; export LC_ALL SLURM_TIME_FORMAT SLURM_BITSTR_LEN
unset SQUEUE_ACCOUNT SQUEUE_ARRAY SQUEUE_FORMAT SQUEUE_FORMAT2 SQUEUE_PARTITION SQUEUE_SORT SQUEUE_STATES SQUEUE_USERS SACCT_FORMAT SLURM_CLUSTERS SBATCH_JOB_NAME SBATCH_ARRAY_INX
PATH=${BIN:+$BIN:}$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin:/opt/slurm/bin; export PATH
mark() { printf '\n\036%s %s\n' "$N" "$1"; }
D=$(printf '\037%.6s' "$N")
# Each row of so many fields in one line, without the D at its end: names, comments and commands may have lines of their own.
joined() { # FIELDS
  awk -F"$D" -v "fields=$1" '
  function out() { if (row != "") print row; row = "" }
  /^\036/ || (NF == 2 && $1 == "" && $2 ~ /^rc[0-9]+$/) { out(); print; next }
  row == "" && NF < 2 { print; next }
  { n = row == "" ? NF : NF ? n + NF - 1 : n; row = row (row == "" ? "" : " ") $0 }
  n > fields { row = substr(row, 1, length(row) - length(FS)); out() }
  END { out() }'
}

host() {
  read -r boot </proc/sys/kernel/random/boot_id
  read -r up idle </proc/uptime
  mark "HOST|$(date '+%s.%N|%z')|$up|$boot"
  mark "ME|$(id -un)|$(readlink /etc/localtime)"
}
config() { # without slurmctld each command takes ten seconds to say so: then it is asked no more
  mark "CONFIG"
  conf=$(scontrol show config 2>&1); silent=$?
  printf '%s\n' "$conf" | awk '/^(AccountingStorageEnforce|AccountingStorageType|AccountingStoreFlags|ClusterName|MinJobAge|PrivateData|SLURM_VERSION|SlurmUser) |[Ee]rror|not found/'
}
level() { mark "LEVEL|$(sacctmgr -n -P show user "$(id -un)" withcoord format=AdminLevel,Coord 2>&1 | head -n 1)"; }

# What slurmctld knows now: what waits and runs, and for MinJobAge seconds what has ended.
queue() { # FILTER…
  mark "QUEUE"
  [ "${silent:-0}" = 0 ] || { printf '%s\n' "$conf" | tail -n 1; mark "QEND|$silent"; return; }
  { squeue -h -a -t all -o "%i$D%F$D%T$D%r$D%V$D%S$D%e$D%Q$D%u$D%a$D%P$D%E$D%k$D%j$D" "$@" 2>&1; mark "QEND|$?"; } | joined 14
}
crontabs() { # id|expression of the jobs that scrontab made
  mark "CRONTABS"
  [ "${silent:-0}" != 0 ] || scontrol show job -o 2>/dev/null | sed -n 's/^JobId=\([0-9]*\) .* CrontabSpec="\([^"]*\)".*/\1|\2/p'
}

rows() { # sacct's rows, and its status in a last line of its own
  { sacct -a -X -D -p -n --delimiter="$D" --format=JobID,State,ExitCode,Submit,Start,End,Reason,User,Account,Partition,Comment,WorkDir,JobName,SubmitLine "$@" 2>&1
    echo "${D}rc$?"; } | joined 14
}
# Up to LIMIT rows of a window, and all parts of each array of which a row is there, as groups: of one job, submission,
# next submission of the same parts, state and exit code. A row without all fields is reported with "?".
history() { # FROM UNTIL SKIP LIMIT FILTER…
  from=$1 until=$2 skip=$3 limit=$4; shift 4
  page=$(rows -S "uts$from" -E "${until:-now+120}" "$@" | tail -n +"$((skip + 1))" | head -n "$limit")
  ids=$(printf '%s\n' "$page" | awk -F"$D" 'NF >= 14 && $1 ~ /^[0-9]+[_+]/ { sub(/[_+].*/, "", $1); if (!seen[$1]++) printf "%s%s", (n++ ? "," : ""), $1 }')
  mark "ROWS"
  { printf '%s\n' "$page" | awk -F"$D" '!(NF >= 14 && $1 ~ /^[0-9]+[_+]/)'; [ -z "$ids" ] || rows -j "$ids" "$@" | grep -v "${D}rc0\$"; } | grouped
  mark "REND"
}
some() { # IDS FILTER…: all that accounting has under these ids, other jobs of earlier included
  ids=$1; shift
  mark "ROWS"
  rows -j "$ids" "$@" | grouped
  mark "REND"
}
grouped() {
  awk -F"$D" '
  NF == 2 && $2 ~ /^rc[0-9]+$/ { print "=" FS substr($2, 3); next }
  NF < 14 { if (NF > 1) print "?" FS substr($0, 1, 200); else if (/error|not found/ && errors++ < 5) print "!" FS $0; next }
  {
    n++; base[n] = $1; sub(/[_+].*/, "", base[n])
    task[n] = $1; state[n] = $2; code[n] = $3; submit[n] = $4; start[n] = $5; end[n] = $6; nextone[n] = 0
    rest[n] = $7 FS $8 FS $9 FS $10 FS $11 FS $12 FS $13 FS $14
    part = $1 FS $8 FS $13  # an id is used again, by others as well
    if (part in last) { before[n] = last[part]; again[part] = 1 }
    last[part] = n
  }
  END {
    for (name in again)
      for (i = last[name]; i; i = before[i])
        for (j = last[name]; j; j = before[j])
          if (submit[j] + 0 > submit[i] + 0 && (!nextone[i] || submit[j] + 0 < nextone[i])) nextone[i] = submit[j] + 0
    for (i = 1; i <= n; i++) {
      key = base[i] FS submit[i] FS nextone[i] FS state[i] FS code[i]
      if (!(key in count)) { order[++groups] = key; first[key] = rest[i]; begun[key] = start[i]; ended[key] = end[i] }
      if (start[i] + 0 > 0 && (!(begun[key] + 0) || start[i] + 0 < begun[key] + 0)) begun[key] = start[i]
      if (end[i] + 0 > ended[key] + 0) ended[key] = end[i]
      if (rest[i] ~ /headway-run/ && first[key] !~ /headway-run/) first[key] = rest[i]
      if (count[key]++ < 20) parts[key] = parts[key] (count[key] > 1 ? " " : "") task[i]
    }
    for (g = 1; g <= groups; g++) {
      key = order[g]
      print "+" FS key FS count[key] FS begun[key] FS ended[key] FS parts[key] FS first[key]
    }
  }'
}

# "q|QOS|running jobs at most|of each user" and "p|PARTITION|its QOS", where such limits are enforced at all.
limits() {
  mark "LIMITS"
  printf '%s\n' "$conf" | grep -q '^AccountingStorageEnforce .*limits' || return 0
  sacctmgr -n -P show qos format=Name,GrpJobs,MaxJobsPU 2>/dev/null | sed 's/^/q|/'
  scontrol show partition -o 2>/dev/null | sed -n 's/^PartitionName=\([^ ]*\) .* QoS=\([^ ]*\) .*/p|\1|\2/p'
}

# Of each user and name the newest submission, and which jobs it was told to wait for ("<").
names() { # FROM FILTER…
  from=$1; shift
  mark "NAMES"
  { sacct -a -X -p -n --delimiter="$D" -S "uts$from" -E now+120 --format=JobID,Submit,User,Account,Partition,QOS,WorkDir,JobName,SubmitLine "$@" 2>&1; echo "${D}rc$?"; } | joined 9 | awk -F"$D" '
  NF == 2 && $2 ~ /^rc[0-9]+$/ { print "=" FS substr($2, 3); next }
  NF < 9 { if (NF > 1) print "?" FS substr($0, 1, 200); else if (/error|not found/ && errors++ < 5) print "!" FS $0; next }
  {
    id = $1; sub(/[_+].*/, "", id)
    key = $3 FS $8
    if (!(id in began) || $2 + 0 >= began[id]) { began[id] = $2 + 0; of[id] = key }
    if (!(key in at) || $2 + 0 >= at[key]) { at[key] = $2 + 0; row[key] = $0 }
  }
  END {
    for (key in row) {
      print "+" FS row[key]
      split(row[key], f, FS)
      if (!match(f[9], / (-d|--dependency)[ =]?[a-z]+:[^ ]*/)) continue
      m = split(substr(f[9], RSTART + 1, RLENGTH - 1), word, /[ =,?]/)
      for (i = 1; i <= m; i++) {
        k = split(word[i], ids, ":"); sub(/^-d/, "", ids[1])
        if (ids[1] !~ /^after(ok|any|notok|corr)$/) continue
        for (j = 2; j <= k; j++) { sub(/[_+].*/, "", ids[j]); if (ids[j] in of) print "<" FS key FS ids[1] FS of[ids[j]] }
      }
    }
  }'
  mark "NEND"
}

# Where the output of a part went, as slurmctld knows it; else what its script says of it.
outputs() { # PART
  mark "PATHS"
  scontrol show job "$1" 2>/dev/null | sed -n 's/^   \(Std[OE][ur][tr]\)=/\1=/p'
  sacct -B -j "$1" 2>/dev/null | grep '^#SBATCH' | head -n 50
}
# LIMIT bytes of a file of USER from START, or its last. Nobody else's file is read under our own rights: what is looked
# at and read is one open file, whatever its path leads to a moment later. It is read once; its size is told after it.
output() { # USER OUT ERR LIMIT START|tail
  user=$1 limit=$4 start=$5 seven=
  if [ -f "$2" ] && command exec 6<"$2"; then own 6 || { mark "NOFILE|$2 is no file of $user"; return; }; six=
  elif as "$user" test -r "$2"; then six=$2
  else mark "NOFILE|$2 is not there, or the login may not read it"; return; fi
  err=; [ -z "$3" ] || [ "$3" = "$2" ] || {
    if [ -f "$3" ] && command exec 7<"$3"; then own 7 && err=$3; elif as "$user" test -r "$3"; then seven=$3 err=$3; fi
  }
  mark "CHUNK"
  exec 4>&1
  size=$({ { bytes | tee /dev/fd/3 | wc -c >&5; } 3>&1 | piece >&4; } 5>&1)
  mark "SIZE|$size"
}
own() { [ -n "$(find -L "/proc/self/fd/$1" -maxdepth 0 -type f -user "$user")" ]; } # FD
bytes() {
  if [ -n "$six" ]; then as "$user" cat -- "$six"; else cat <&6; fi
  [ -z "$err" ] || printf '\n--- %s\n' "$err"
  [ -z "$err" ] || if [ -n "$seven" ]; then as "$user" cat -- "$seven"; else cat <&7; fi
}
piece() { # reads all, also what is not told: whoever counts waits for it
  if [ "$start" = tail ]; then tail -c "$limit"; else tail -c "+$((start + 1))" | { head -c "$limit"; cat >/dev/null; }; fi
}
as() { # USER COMMAND…
  as=$1; shift
  if [ "$(id -un)" = "$as" ]; then "$@"
  elif [ "$(id -u)" = 0 ]; then runuser -u "$as" -- "$@"
  elif [ "$SUDO" = sudo ]; then sudo -n -H -u "$as" "$@"
  else echo "sudo is switched off in the config" >&2; return 1; fi
}
may() { # USER
  if [ "$(id -un)" = "$1" ] || [ "$(id -u)" = 0 ] || { [ "$SUDO" = sudo ] && sudo -n -l -u "$1" sbatch >/dev/null 2>&1; }
  then mark "MAY|yes|$1"; else mark "MAY|no|$1"; fi
}
