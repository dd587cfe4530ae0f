/* Stands between the program and the system in tests/it/faults.rs (LD_PRELOAD): while files of these names are in the folder that
   HOOKTABLE_TEST_FAULTS names, calls on the state's files fail as a broken disk lets them, or the time of day is another one. A server
   asks for the time in signal handlers too, so nothing here allocates.
     fsync      syncs fail with EIO
     readonly   writes fail with EROFS
     clock      the time of day is off by as many seconds as it says */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int is_there(const char *name, char *path, size_t size) {
  const char *folder = getenv("HOOKTABLE_TEST_FAULTS");
  return folder && snprintf(path, size, "%s/%s", folder, name) < (int)size && access(path, F_OK) == 0;
}

static int is_of_the_state(int fd) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return strstr(path, "/state.db") != NULL;
}

static int fails(const char *name, int fd) {
  char path[4096];
  return is_there(name, path, sizeof path) && is_of_the_state(fd);
}

int fsync(int fd) {
  static int (*real)(int);
  if (!real) real = dlsym(RTLD_NEXT, "fsync");
  if (fails("fsync", fd)) { errno = EIO; return -1; }
  return real(fd);
}

int fdatasync(int fd) {
  static int (*real)(int);
  if (!real) real = dlsym(RTLD_NEXT, "fdatasync");
  if (fails("fsync", fd)) { errno = EIO; return -1; }
  return real(fd);
}

ssize_t write(int fd, const void *data, size_t size) {
  static ssize_t (*real)(int, const void *, size_t);
  if (!real) real = dlsym(RTLD_NEXT, "write");
  if (fails("readonly", fd)) { errno = EROFS; return -1; }
  return real(fd, data, size);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
  static ssize_t (*real)(int, const void *, size_t, off_t);
  if (!real) real = dlsym(RTLD_NEXT, "pwrite");
  if (fails("readonly", fd)) { errno = EROFS; return -1; }
  return real(fd, data, size, at);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
  static ssize_t (*real)(int, const void *, size_t, off64_t);
  if (!real) real = dlsym(RTLD_NEXT, "pwrite64");
  if (fails("readonly", fd)) { errno = EROFS; return -1; }
  return real(fd, data, size, at);
}

static long seconds_off(void) {
  char path[4096], text[32];
  if (!is_there("clock", path, sizeof path)) return 0;
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  ssize_t length = read(file, text, sizeof text - 1);
  close(file);
  text[length > 0 ? length : 0] = 0;
  return strtol(text, NULL, 10);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
  int done = real(clock, now), why = errno;
  if (done == 0 && clock == CLOCK_REALTIME) now->tv_sec += seconds_off();
  errno = why;
  return done;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  static int (*real)(struct timeval *, void *);
  if (!real) real = dlsym(RTLD_NEXT, "gettimeofday");
  int done = real(now, zone), why = errno;
  if (done == 0) now->tv_sec += seconds_off();
  errno = why;
  return done;
}
