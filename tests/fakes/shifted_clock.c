/* Loaded before libc: the wall clock of a process and of its children is SHIFT_SECONDS ahead of the machine's, or what
   the file SHIFT_FILE holds now (eight bytes, the machine's order); its monotonic clock is not, so that whatever waits
   goes on waiting as long as it said. A child that is started with an
   environment of its own has the same clock, and so have the files that are written after SHIFT_BEGAN (the machine's
   clock): older ones keep their times, so that what is compiled stays compiled. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

extern char **environ;
static const char *const CARRIED[] = {"LD_PRELOAD", "SHIFT_SECONDS", "SHIFT_BEGAN", "SHIFT_FILE"};
enum { CARRIED_NAMES = 4, LONGEST = 4096 };
static char carried[CARRIED_NAMES][LONGEST];
static long given, began;
static const volatile long *ahead = &given;

static long number_of(const char *name) {
    const char *said = getenv(name);
    return said ? atol(said) : 0;
}

__attribute__((constructor)) static void begin(void) {
    for (int at = 0; at < CARRIED_NAMES; at++) {
        const char *said = getenv(CARRIED[at]);
        if (said && strlen(CARRIED[at]) + strlen(said) + 2 < LONGEST)
            strcat(strcat(strcpy(carried[at], CARRIED[at]), "="), said);
    }
    given = number_of("SHIFT_SECONDS");
    began = number_of("SHIFT_BEGAN");
    const char *file = getenv("SHIFT_FILE");
    int opened = file ? open(file, O_RDONLY | O_CLOEXEC) : -1;
    if (opened >= 0) {
        void *mapped = mmap(NULL, sizeof given, PROT_READ, MAP_SHARED, opened, 0);
        if (mapped != MAP_FAILED)
            ahead = mapped;
        close(opened);
    }
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        real = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += *ahead;
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec precise;
    (void)zone;
    int failed = clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return failed;
}

time_t time(time_t *kept) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (kept)
        *kept = now.tv_sec;
    return now.tv_sec;
}

/* -- times of files: what the kernel wrote in this session, between its begin and now ------------------------------- */
static time_t stamped(time_t written) {
    return began && began <= written && written <= time(NULL) - *ahead + 1 ? written + *ahead : written;
}

#define STAMPED(name, named, passed)                                                                                  \
    int name named {                                                                                                  \
        static int(*real) named;                                                                                      \
        if (!real)                                                                                                    \
            real = dlsym(RTLD_NEXT, #name);                                                                           \
        int failed = real passed;                                                                                     \
        if (!failed) {                                                                                                \
            found->st_mtim.tv_sec = stamped(found->st_mtim.tv_sec);                                                   \
            found->st_ctim.tv_sec = stamped(found->st_ctim.tv_sec);                                                   \
            found->st_atim.tv_sec = stamped(found->st_atim.tv_sec);                                                   \
        }                                                                                                             \
        return failed;                                                                                                \
    }
#define STAMPED_FAMILY(kind, end)                                                                                     \
    STAMPED(stat##end, (const char *path, struct kind *found), (path, found))                                   \
    STAMPED(lstat##end, (const char *path, struct kind *found), (path, found))                                  \
    STAMPED(fstat##end, (int file, struct kind *found), (file, found))                                          \
    STAMPED(fstatat##end, (int at, const char *path, struct kind *found, int flags), (at, path, found, flags))
STAMPED_FAMILY(stat, )
STAMPED_FAMILY(stat64, 64)

int statx(int at, const char *restrict path, int flags, unsigned mask, struct statx *restrict found) {
    static int (*real)(int, const char *restrict, int, unsigned, struct statx *restrict);
    if (!real)
        real = dlsym(RTLD_NEXT, "statx");
    int failed = real(at, path, flags, mask, found);
    if (!failed) {
        found->stx_mtime.tv_sec = stamped(found->stx_mtime.tv_sec);
        found->stx_ctime.tv_sec = stamped(found->stx_ctime.tv_sec);
        found->stx_atime.tv_sec = stamped(found->stx_atime.tv_sec);
    }
    return failed;
}

/* -- children ------------------------------------------------------------------------------------------------------ */
static size_t length(char *const list[]) {
    size_t number = 0;
    while (list && list[number])
        number++;
    return number;
}

/* The environment with what a child lacks of this clock; `to` has room for CARRIED_NAMES more, and for the end. */
static char **with_clock(char *const from[], char **to) {
    size_t number = length(from);
    if (number)
        memcpy(to, from, number * sizeof *to);
    for (int at = 0; at < CARRIED_NAMES; at++) {
        size_t name = strlen(CARRIED[at]) + 1, before = 0;
        while (before < number && strncmp(to[before], carried[at], name))
            before++;
        if (before == number && *carried[at])
            to[number++] = carried[at];
    }
    to[number] = NULL;
    return to;
}

#define CLOCKED(name, from) char *name[length(from) + CARRIED_NAMES + 1]; with_clock(from, name)

int execve(const char *path, char *const argv[], char *const envp[]) {
    int (*real)(const char *, char *const[], char *const[]) = dlsym(RTLD_NEXT, "execve");
    CLOCKED(clocked, envp);
    return real(path, argv, clocked);
}

int execv(const char *path, char *const argv[]) { return execve(path, argv, environ); }

int execvpe(const char *file, char *const argv[], char *const envp[]) {
    int (*real)(const char *, char *const[], char *const[]) = dlsym(RTLD_NEXT, "execvpe");
    CLOCKED(clocked, envp);
    return real(file, argv, clocked);
}

int execvp(const char *file, char *const argv[]) { return execvpe(file, argv, environ); }

int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *acts, const posix_spawnattr_t *attr,
                char *const argv[], char *const envp[]) {
    int (*real)(pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *, char *const[],
                char *const[]) = dlsym(RTLD_NEXT, "posix_spawn");
    CLOCKED(clocked, envp);
    return real(pid, path, acts, attr, argv, clocked);
}
