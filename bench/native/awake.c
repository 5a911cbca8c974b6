/*
 * Keeps every core awake until its input ends. Waking a core takes some 50 microseconds, which is more than a server
 * needs to answer. It runs in the lowest scheduling class, so it takes no time from other programs.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(void) {
  struct sched_param param = {.sched_priority = 0};
  if (sched_setscheduler(0, SCHED_IDLE, &param) != 0) {
    perror("awake: sched_setscheduler");
    return 1;
  }
  pid_t self = getpid();
  for (long core = sysconf(_SC_NPROCESSORS_ONLN); core > 0; core--) {
    if (fork() != 0) continue;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (getppid() == self);
    return 0;
  }
  puts("{}");
  fflush(stdout);
  char byte;
  while (read(0, &byte, 1) > 0);
  return 0;
}
