/* A machine that dies, or a disk that is full, before the n-th operation on files below a folder.
 *
 * Loaded with LD_PRELOAD. Counts what changes the files below $FAULT_ROOT: creating and truncating, writing, renaming,
 * removing, flushing. From `fault_arm(root, kind, at)` on, or from the start if $FAULT_ROOT, $FAULT_KIND and $FAULT_AT say
 * so, the n-th of them ends the process group (kind 1), or it and all later ones that need room fail with ENOSPC (kind 2);
 * kind 0 only counts. The count is shared with the processes that are started meanwhile through the file $FAULT_COUNTER.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static char root[PATH_MAX];
static size_t root_length;
static int kind;
static long at = -1;
static long own_count;
static long *count = &own_count;

void fault_arm(const char *folder, int what, long when) {
    const char *counter = getenv("FAULT_COUNTER");
    if (counter) {
        int fd = syscall(SYS_openat, AT_FDCWD, counter, O_RDWR, 0);
        void *shared = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(long), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (shared != MAP_FAILED) count = shared;
        if (fd >= 0) syscall(SYS_close, fd);
    }
    strncpy(root, folder, sizeof root - 1);
    root_length = strlen(root);
    kind = what;
    at = when;
}

__attribute__((constructor)) static void start(void) {
    if (getenv("FAULT_ROOT") && getenv("FAULT_KIND") && getenv("FAULT_AT"))
        fault_arm(getenv("FAULT_ROOT"), atoi(getenv("FAULT_KIND")), atol(getenv("FAULT_AT")));
}

static int is_below(const char *path) { return root_length && !strncmp(path, root, root_length); }

static int below(int dir, const char *path) {
    char whole[PATH_MAX], name[64];
    if (!root_length || !path) return 0;
    if (path[0] == '/') return is_below(path);
    if (dir == AT_FDCWD) {
        if (!getcwd(whole, sizeof whole)) return 0;
        return is_below(whole);
    }
    snprintf(name, sizeof name, "/proc/self/fd/%d", dir);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, name, whole, sizeof whole - 1);
    if (length < 0) return 0;
    whole[length] = 0;
    return is_below(whole);
}

static int open_below(int fd) { return root_length ? below(fd, "") : 0; }

/* Whether an operation is to fail for want of room. */
static int fault(int needs_room) {
    long number = __sync_fetch_and_add(count, 1);
    if (at < 0 || number < at) return 0;
    if (kind == 1) {
        kill(0, SIGKILL);
        syscall(SYS_exit_group, 137);
    }
    return kind == 2 && needs_room;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define REFUSE(where, room) do { if ((where) && fault(room)) { errno = ENOSPC; return -1; } } while (0)

static int opened(int dir, const char *path, int flags, mode_t mode) {
    if ((flags & (O_CREAT | O_TRUNC)) && (flags & O_ACCMODE) != O_RDONLY && below(dir, path)) {
        struct stat found;
        int there = syscall(SYS_newfstatat, dir, path, &found, 0) == 0;
        if (fault(!there)) { errno = ENOSPC; return -1; }
    }
    return syscall(SYS_openat, dir, path, flags, mode);
}

#define MODE va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, int); va_end(rest)
int open(const char *path, int flags, ...) { MODE; return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE; return opened(AT_FDCWD, path, flags | O_LARGEFILE, mode); }
int openat(int dir, const char *path, int flags, ...) { MODE; return opened(dir, path, flags, mode); }
int openat64(int dir, const char *path, int flags, ...) { MODE; return opened(dir, path, flags | O_LARGEFILE, mode); }

ssize_t write(int fd, const void *data, size_t size) {
    REFUSE(open_below(fd), 1);
    return syscall(SYS_write, fd, data, size);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t place) {
    REFUSE(open_below(fd), 1);
    return NEXT(pwrite)(fd, data, size, place);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t place) {
    REFUSE(open_below(fd), 1);
    return NEXT(pwrite64)(fd, data, size, place);
}
ssize_t writev(int fd, const struct iovec *parts, int number) {
    REFUSE(open_below(fd), 1);
    return NEXT(writev)(fd, parts, number);
}
int ftruncate(int fd, off_t size) {
    REFUSE(open_below(fd), 0);
    return NEXT(ftruncate)(fd, size);
}
int ftruncate64(int fd, off64_t size) {
    REFUSE(open_below(fd), 0);
    return NEXT(ftruncate64)(fd, size);
}
int posix_fallocate(int fd, off_t start, off_t size) {
    if (open_below(fd) && fault(1)) return ENOSPC;
    return NEXT(posix_fallocate)(fd, start, size);
}
int posix_fallocate64(int fd, off64_t start, off64_t size) {
    if (open_below(fd) && fault(1)) return ENOSPC;
    return NEXT(posix_fallocate64)(fd, start, size);
}
int fsync(int fd) {
    REFUSE(open_below(fd), 0);
    return syscall(SYS_fsync, fd);
}
int mkdir(const char *path, mode_t mode) {
    REFUSE(below(AT_FDCWD, path), 1);
    return NEXT(mkdir)(path, mode);
}
int rename(const char *from, const char *to) {
    REFUSE(below(AT_FDCWD, from), 0);
    return NEXT(rename)(from, to);
}
int renameat(int a, const char *from, int b, const char *to) {
    REFUSE(below(a, from), 0);
    return NEXT(renameat)(a, from, b, to);
}
int unlink(const char *path) {
    REFUSE(below(AT_FDCWD, path), 0);
    return NEXT(unlink)(path);
}
int unlinkat(int dir, const char *path, int flags) {
    REFUSE(below(dir, path), 0);
    return NEXT(unlinkat)(dir, path, flags);
}
int rmdir(const char *path) {
    REFUSE(below(AT_FDCWD, path), 0);
    return NEXT(rmdir)(path);
}
int symlink(const char *to, const char *path) {
    REFUSE(below(AT_FDCWD, path), 1);
    return NEXT(symlink)(to, path);
}
