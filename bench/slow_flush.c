/* A storage device that is slow to flush, for `bench.stall`: preloaded, it delays what fdatasync and fsync take.
   5 to 100 ms each time, evenly spread; and once in STALL_EVERY_S seconds (default 60) one flush takes 500 ms. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static double next_stall_s;

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

static void delay(void)
{
    const char *every = getenv("STALL_EVERY_S");
    double every_s = every ? atof(every) : 60, wait_s = 0.005 + 0.095 * (rand() / (double)RAND_MAX);
    if (next_stall_s == 0)
        next_stall_s = now_s() + every_s / 2;
    if (now_s() >= next_stall_s) {
        next_stall_s += every_s;
        wait_s = 0.5;
    }
    struct timespec wait = {0, (long)(wait_s * 1e9)};
    nanosleep(&wait, NULL);
}

int fdatasync(int fd)
{
    delay();
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}

int fsync(int fd)
{
    delay();
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}
