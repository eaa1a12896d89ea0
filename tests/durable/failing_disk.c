/* Stands between the service and its disk (LD_PRELOAD), so that a test can make the disk fail and heal at will.
 *
 * While the file FAULT_SWITCH holds "sync ERRNO" or "write ERRNO", that call fails on files below FAULT_UNDER; with "stall 1" a sync
 * never returns. As on a real
 * disk, bytes whose sync failed are gone: they are zeroed at once, so that what was acknowledged on a later "success" is missing.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name, ...) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))(__VA_ARGS__)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct { dev_t device; ino_t file; off_t synced; } files[4096];

static off_t *synced_length(const struct stat *file) {
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        if (files[i].file == 0) {
            files[i].device = file->st_dev;
            files[i].file = file->st_ino;
        }
        if (files[i].file == file->st_ino && files[i].device == file->st_dev) return &files[i].synced;
    }
    abort();
}

/* The errno with which `call` fails now on this descriptor; 0 if it does not. */
static int fault(const char *call, int descriptor) {
    char link[64], path[4096], found[8];
    int code = 0;
    const char *file = getenv("FAULT_SWITCH"), *under = getenv("FAULT_UNDER");
    FILE *switched = file ? fopen(file, "re") : NULL;
    if (!switched) return 0;
    int read = fscanf(switched, "%7s %d", found, &code);
    fclose(switched);
    if (read != 2 || strcmp(found, call) != 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0 || !under || strncmp(path, under, strlen(under)) != 0) return 0;
    return code;
}

static int sync_or_fail(int descriptor, int (*real)(int)) {
    struct stat file;
    if (fstat(descriptor, &file) != 0 || !S_ISREG(file.st_mode)) return real(descriptor);
    if (fault("stall", descriptor)) for (;;) pause();
    int code = fault("sync", descriptor);
    pthread_mutex_lock(&lock);
    off_t *synced = synced_length(&file);
    int result = code ? -1 : real(descriptor);
    if (result == 0) *synced = file.st_size;
    if (code && ftruncate(descriptor, *synced) == 0 && ftruncate(descriptor, file.st_size) == 0) errno = code;
    pthread_mutex_unlock(&lock);
    if (code) errno = code;
    return result;
}

#define FAIL_OR(name, descriptor, ...)              \
    int code = fault("write", descriptor);          \
    if (code) { errno = code; return -1; }          \
    return REAL(name, descriptor, __VA_ARGS__)

int fsync(int d) { return sync_or_fail(d, dlsym(RTLD_NEXT, "fsync")); }
int fdatasync(int d) { return sync_or_fail(d, dlsym(RTLD_NEXT, "fdatasync")); }
ssize_t write(int d, const void *bytes, size_t count) { FAIL_OR(write, d, bytes, count); }
ssize_t writev(int d, const struct iovec *parts, int count) { FAIL_OR(writev, d, parts, count); }
ssize_t pwrite64(int d, const void *bytes, size_t count, off64_t at) { FAIL_OR(pwrite64, d, bytes, count, at); }
