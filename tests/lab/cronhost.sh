#!/bin/bash
# The inside of one cron host, run as process 1 of its own mount, uts and pid namespace: cronhost.sh FS NAME [CRON OPTION...]
# FS holds the host's own files; each part is bound over the machine's, which stays as it is. With LAB_FAKETIME ("@START
# xRATE") cron and rsyslogd run under LAB_FAKETIME_LIBRARY; with LAB_BUSYBOX its crond runs instead of cron.
set -eu
fs=$1 name=$2
shift 2
clock=()
[ -z "${LAB_FAKETIME:-}" ] || clock=(env "LD_PRELOAD=$LAB_FAKETIME_LIBRARY" NO_FAKE_STAT=1 "FAKETIME=$LAB_FAKETIME")
cd /
mount --make-rprivate /
hostname "$name"

# A private /dev, so that /dev/log is this host's own syslog socket.
mount -t tmpfs -o mode=755 tmpfs "$fs/dev"
for node in null zero full random urandom tty; do
    : >"$fs/dev/$node"
    mount --bind "/dev/$node" "$fs/dev/$node"
done
mkdir "$fs/dev/pts" "$fs/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts "$fs/dev/pts"
ln -s pts/ptmx "$fs/dev/ptmx"
ln -s /proc/self/fd "$fs/dev/fd"

for part in etc home root run usr/local var; do
    mount --bind "$fs/$part" "/$part"
done
cd "$fs" # which one of these two hides
mount -c --rbind dev /dev
mount -c --bind tmp /tmp
cd /

rm -rf /run/*
mkdir -p /run/sshd /run/lock
"${clock[@]}" rsyslogd -n -f /etc/rsyslog.conf -i /run/rsyslogd.pid &
until [ -S /dev/log ]; do sleep 0.02; done
/usr/sbin/sshd
cron=(/usr/sbin/cron -f "$@")
if [ -n "${LAB_BUSYBOX:-}" ]; then # as on Alpine: a link named crond
    ln -sf "$LAB_BUSYBOX" /usr/local/sbin/crond
    cron=(/usr/local/sbin/crond -f -l 8)
fi
env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "${clock[@]}" "${cron[@]}" &
while :; do sleep 3600; done # process 1 also reaps what nobody waits for
