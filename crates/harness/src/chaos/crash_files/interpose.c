/* Numbers what a process does to the files below CHAOS_DIR, and kills it at one of these operations.
 *
 * Loaded by LD_PRELOAD. Each operation is a line "<number> <kind> <path>" in CHAOS_LOG, written before it is done.
 * The process dies by SIGKILL before operation CHAOS_AT; where CHAOS_HALF is set and that is a write, half of it is
 * written first. One operation at a time, whatever the threads do: when one dies, all before it are done.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
static const char *dir;
static size_t dir_length;
static long number, die_at;
static int half, log_fd = -1;

__attribute__((constructor)) static void begin(void) {
    const char *at = getenv("CHAOS_AT"), *log = getenv("CHAOS_LOG");
    dir = getenv("CHAOS_DIR");
    dir_length = dir ? strlen(dir) : 0;
    die_at = at ? atol(at) : 0;
    half = getenv("CHAOS_HALF") != NULL;
    if (log)
        log_fd = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

static int below(const char *path) {
    return dir && path && strncmp(path, dir, dir_length) == 0 && (path[dir_length] == '/' || path[dir_length] == 0);
}

/* The path of an open file, if it is one of those. */
static int file_below(int fd, char *path) {
    char link[32];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = dir ? readlink(link, path, PATH_MAX - 1) : -1;
    if (length < 0)
        return 0;
    path[length] = 0;
    return below(path);
}

static void die(void) {
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;)
        pause();
}

/* Whether this is the write to die in the middle of; does not return where the process dies before the operation. */
static int reached(const char *kind, const char *path) {
    char line[PATH_MAX + 64];
    int length = snprintf(line, sizeof line, "%ld %s %s\n", ++number, kind, path);
    if (log_fd >= 0 && syscall(SYS_write, log_fd, line, length) != length)
        abort();
    if (number != die_at)
        return 0;
    if (!half || strcmp(kind, "write") != 0)
        die();
    return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* Does it under the lock, and numbers it where `is_one` says so. */
#define NUMBERED(is_one, kind, path, call)                                                                            \
    do {                                                                                                              \
        if (!(is_one))                                                                                                \
            return call;                                                                                              \
        pthread_mutex_lock(&one_at_a_time);                                                                           \
        reached(kind, path);                                                                                          \
        __typeof__(call) result = call;                                                                               \
        pthread_mutex_unlock(&one_at_a_time);                                                                         \
        return result;                                                                                                \
    } while (0)

#define ON_FILE(kind, call)                                                                                           \
    char path[PATH_MAX];                                                                                              \
    NUMBERED(file_below(fd, path), kind, path, call)

#define WRITES(flags) ((flags) & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC))

#define OPENS(name)                                                                                                   \
    int name(const char *path, int flags, ...) {                                                                      \
        va_list more;                                                                                                 \
        va_start(more, flags);                                                                                        \
        mode_t mode = va_arg(more, mode_t);                                                                           \
        va_end(more);                                                                                                 \
        NUMBERED(below(path) && WRITES(flags), "open", path, REAL(name)(path, flags, mode));                          \
    }
OPENS(open)
OPENS(open64)

#define OPENS_AT(name)                                                                                                \
    int name(int at, const char *path, int flags, ...) {                                                              \
        va_list more;                                                                                                 \
        va_start(more, flags);                                                                                        \
        mode_t mode = va_arg(more, mode_t);                                                                           \
        va_end(more);                                                                                                 \
        NUMBERED(below(path) && WRITES(flags), "open", path, REAL(name)(at, path, flags, mode));                      \
    }
OPENS_AT(openat)
OPENS_AT(openat64)

ssize_t write(int fd, const void *bytes, size_t length) {
    char path[PATH_MAX];
    if (!file_below(fd, path))
        return REAL(write)(fd, bytes, length);
    pthread_mutex_lock(&one_at_a_time);
    if (reached("write", path)) {
        if (REAL(write)(fd, bytes, length / 2) >= 0)
            die();
        abort();
    }
    ssize_t result = REAL(write)(fd, bytes, length);
    pthread_mutex_unlock(&one_at_a_time);
    return result;
}

ssize_t writev(int fd, const struct iovec *pieces, int count) {
    ON_FILE("writev", REAL(writev)(fd, pieces, count));
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) {
    ON_FILE("pwrite", REAL(pwrite64)(fd, bytes, length, at));
}

int ftruncate64(int fd, off64_t length) { ON_FILE("truncate", REAL(ftruncate64)(fd, length)); }

int fsync(int fd) { ON_FILE("fsync", REAL(fsync)(fd)); }

int fdatasync(int fd) { ON_FILE("fdatasync", REAL(fdatasync)(fd)); }

int rename(const char *from, const char *to) {
    NUMBERED(below(from) || below(to), "rename", from, REAL(rename)(from, to));
}

int unlink(const char *path) { NUMBERED(below(path), "unlink", path, REAL(unlink)(path)); }

int mkdir(const char *path, mode_t mode) { NUMBERED(below(path), "mkdir", path, REAL(mkdir)(path, mode)); }
