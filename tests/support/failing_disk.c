/* Stands between the service and its disk (LD_PRELOAD), so that a test can make the disk fail, stall and heal at will.
 *
 * Each line of the file FAULT_SWITCH is a fault: "CALL ERRNO MILLISECONDS PART". CALL is `sync`, `write` or `read`; it first takes
 * so many milliseconds longer, or until the line is gone, and then fails with ERRNO unless that is 0. It holds for
 * files below FAULT_UNDER whose path has PART in it. As on a real disk, bytes whose sync failed are gone: they are zeroed at once, so that
 * what was acknowledged on a later "success" is missing.
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
#define LOOK_EVERY_MS 10

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

/* Whether a line is about `call` on this descriptor; how long it takes then, and what it fails with. */
static int is_switched(const char *call, int descriptor, int *code, int *milliseconds) {
    char link[64], path[4096], line[256], found[8], part[128];
    const char *file = getenv("FAULT_SWITCH"), *under = getenv("FAULT_UNDER");
    FILE *switched = file ? fopen(file, "re") : NULL;
    if (!switched) return 0;
    int is_found = 0;
    while (!is_found && fgets(line, sizeof line, switched)) {
        int read = sscanf(line, "%7s %d %d %127s", found, code, milliseconds, part);
        if (read != 4 || strcmp(found, call) != 0) continue;
        snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
        ssize_t length = readlink(link, path, sizeof path - 1);
        if (length < 0 || !under) break;
        path[length] = 0;
        is_found = strncmp(path, under, strlen(under)) == 0 && strstr(path, part) != NULL;
    }
    fclose(switched);
    return is_found;
}

/* Takes as long as it is told to; the errno with which `call` fails now on this descriptor, 0 if it does not. */
static int fault(const char *call, int descriptor) {
    int code = 0, milliseconds = 0, before = errno;
    if (!is_switched(call, descriptor, &code, &milliseconds)) {
        errno = before;
        return 0;
    }
    for (int passed = 0; passed < milliseconds; passed += LOOK_EVERY_MS) {
        int code_now, milliseconds_now;
        usleep(LOOK_EVERY_MS * 1000);
        if (!is_switched(call, descriptor, &code_now, &milliseconds_now)) return 0;
    }
    errno = before;
    return code;
}

static int sync_or_fail(int descriptor, int (*real)(int)) {
    struct stat file;
    if (fstat(descriptor, &file) != 0 || !S_ISREG(file.st_mode)) return real(descriptor);
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

#define FAIL_OR(call, name, descriptor, ...)        \
    int code = fault(call, descriptor);             \
    if (code) { errno = code; return -1; }          \
    return REAL(name, descriptor, __VA_ARGS__)

int fsync(int d) { return sync_or_fail(d, dlsym(RTLD_NEXT, "fsync")); }
int fdatasync(int d) { return sync_or_fail(d, dlsym(RTLD_NEXT, "fdatasync")); }
ssize_t write(int d, const void *bytes, size_t count) { FAIL_OR("write", write, d, bytes, count); }
ssize_t writev(int d, const struct iovec *parts, int count) { FAIL_OR("write", writev, d, parts, count); }
ssize_t pwrite64(int d, const void *bytes, size_t count, off64_t at) {
    FAIL_OR("write", pwrite64, d, bytes, count, at);
}
ssize_t read(int d, void *bytes, size_t count) { FAIL_OR("read", read, d, bytes, count); }
ssize_t pread64(int d, void *bytes, size_t count, off64_t at) { FAIL_OR("read", pread64, d, bytes, count, at); }
