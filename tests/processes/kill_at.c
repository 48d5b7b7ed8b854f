/* Preloaded: kills the process with SIGKILL at the n-th call that changes a file on the disk, or half-way through it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <sys/types.h>
#include <unistd.h>

static long calls, fatal;
static int half;

/* From now on. at: 0 for never. Gives how many calls there have been since the last time. */
long kill_at(long at, int is_half) {
    long before = calls;
    calls = 0, fatal = at, half = is_half;
    return before;
}

static int is_fatal(void) { return __sync_add_and_fetch(&calls, 1) == fatal; }

static void die(void) { kill(getpid(), SIGKILL); for (;;) pause(); }

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t pwrite64(int file, const void *data, size_t size, off64_t at) {
    if (is_fatal()) {
        if (half) REAL(pwrite64)(file, data, size / 2, at);
        die();
    }
    return REAL(pwrite64)(file, data, size, at);
}

#define WRAP(name, parameters, ...)               \
    int name parameters {                         \
        if (is_fatal()) {                         \
            if (half) REAL(name)(__VA_ARGS__);    \
            die();                                \
        }                                         \
        return REAL(name)(__VA_ARGS__);           \
    }

WRAP(fsync, (int file), file)
WRAP(fdatasync, (int file), file)
WRAP(ftruncate64, (int file, off64_t size), file, size)
WRAP(unlink, (const char *path), path)
WRAP(rename, (const char *from, const char *to), from, to)
