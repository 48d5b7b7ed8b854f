/* Preloaded: writes down every call that changes a file, and every sync, in their order. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int out = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* From now on, into this descriptor. */
void record_into(int file) { out = file; }

/* One entry: what it is, a path, a place, and bytes. */
void note(char what, const char *path, uint64_t at, const void *data, uint64_t size) {
    struct __attribute__((packed)) { char what; uint16_t path; uint64_t at, size; } head = {what, strlen(path), at, size};
    struct iovec parts[3] = {{&head, sizeof head}, {(void *)path, head.path}, {(void *)data, size}};
    if (out < 0) return;
    pthread_mutex_lock(&lock);
    if (writev(out, parts, 3) != (ssize_t)(sizeof head + head.path + size)) _exit(3);
    pthread_mutex_unlock(&lock);
}

static void note_of(char what, int file, uint64_t at, const void *data, uint64_t size) {
    char link[32], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length < 0 ? 0 : length] = 0;
    note(what, path, at, data, size);
}

ssize_t pwrite64(int file, const void *data, size_t size, off64_t at) {
    ssize_t done = REAL(pwrite64)(file, data, size, at);
    if (done > 0) note_of('w', file, at, data, done);
    return done;
}

#define WRAP(name, parameters, arguments, noted)        \
    int name parameters {                               \
        int result = REAL(name) arguments;              \
        if (result == 0) noted;                         \
        return result;                                  \
    }

WRAP(fsync, (int file), (file), note_of('s', file, 0, "", 0))
WRAP(fdatasync, (int file), (file), note_of('s', file, 0, "", 0))
WRAP(ftruncate64, (int file, off64_t size), (file, size), note_of('t', file, size, "", 0))
WRAP(unlink, (const char *path), (path), note('u', path, 0, "", 0))
WRAP(rename, (const char *from, const char *to), (from, to), note('r', from, 0, to, strlen(to)))
