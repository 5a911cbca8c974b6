/*
 * A server over epoll that is as fast as one thread can be. It prints its address, and exits when its input ends.
 *
 *   limit <kind> <tcp | unix:<path>>
 *
 * kind   echo    sends received bytes back
 *        sink    counts received bytes, and sends their number at the end of the stream
 *        fanout  sends the data of one client to all
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { CHUNK = 1 << 16, EVENTS = 256 };

struct peer {
  int fd;
  uint64_t received;
  /* Data that the kernel has not taken yet. While there is some, `echo` does not read from this connection. */
  unsigned char *rest;
  size_t length, done, room;
  int index, reads, writes;
};

static int poller, listener;
static struct peer **peers;
static int peer_count, peer_room;
static unsigned char chunk[CHUNK];

static void die(const char *what) {
  fprintf(stderr, "limit: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void watch(struct peer *peer) {
  struct epoll_event event = {.events = (peer->reads ? EPOLLIN : 0) | (peer->writes ? EPOLLOUT : 0), .data.ptr = peer};
  if (epoll_ctl(poller, EPOLL_CTL_MOD, peer->fd, &event) != 0) die("epoll_ctl");
}

static void drop(struct peer *peer) {
  close(peer->fd);
  peers[peer->index] = peers[--peer_count];
  peers[peer->index]->index = peer->index;
  free(peer->rest);
  free(peer);
}

static void keep(struct peer *peer, const unsigned char *data, size_t length) {
  if (peer->length + length > peer->room) {
    memmove(peer->rest, peer->rest + peer->done, peer->length - peer->done);
    peer->length -= peer->done;
    peer->done = 0;
    if (peer->length + length > peer->room) {
      peer->room = 2 * (peer->length + length);
      peer->rest = realloc(peer->rest, peer->room);
      if (peer->rest == NULL) die("realloc");
    }
  }
  memcpy(peer->rest + peer->length, data, length);
  peer->length += length;
}

/* Returns 0 if the connection was lost. */
static int put(struct peer *peer, const unsigned char *data, size_t length) {
  if (peer->done == peer->length) {
    ssize_t taken = send(peer->fd, data, length, MSG_NOSIGNAL);
    if (taken < 0 && errno != EAGAIN) return 0;
    if (taken > 0) data += taken, length -= (size_t)taken;
  }
  if (length == 0) return 1;
  keep(peer, data, length);
  if (!peer->writes) peer->writes = 1, watch(peer);
  return 1;
}

static int flush(struct peer *peer) {
  ssize_t taken = send(peer->fd, peer->rest + peer->done, peer->length - peer->done, MSG_NOSIGNAL);
  if (taken < 0) return errno == EAGAIN;
  peer->done += (size_t)taken;
  if (peer->done < peer->length) return 1;
  peer->done = peer->length = 0;
  peer->writes = 0;
  peer->reads = 1;
  watch(peer);
  return 1;
}

static void admit(void) {
  int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) return;
  int yes = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  struct peer *peer = calloc(1, sizeof *peer);
  peer->fd = fd;
  peer->reads = 1;
  if (peer_count == peer_room) peers = realloc(peers, (size_t)(peer_room = 2 * peer_room + 16) * sizeof *peers);
  peer->index = peer_count;
  peers[peer_count++] = peer;
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};
  if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) != 0) die("epoll_ctl");
}

static void serve(struct peer *peer, const char *kind) {
  ssize_t got = recv(peer->fd, chunk, CHUNK, 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) {
    if (got == 0 && strcmp(kind, "sink") == 0) {
      char number[24];
      int digits = snprintf(number, sizeof number, "%llu", (unsigned long long)peer->received);
      if (send(peer->fd, number, (size_t)digits, MSG_NOSIGNAL) < 0) perror("limit: send");
    }
    drop(peer);
    return;
  }
  peer->received += (uint64_t)got;
  if (strcmp(kind, "sink") == 0) return;
  if (strcmp(kind, "fanout") == 0) {
    for (int i = 0; i < peer_count; i++) put(peers[i], chunk, (size_t)got);
    return;
  }
  if (!put(peer, chunk, (size_t)got)) drop(peer);
  else if (peer->writes) peer->reads = 0, watch(peer);
}

static void listen_at(const char *where) {
  int is_unix = strncmp(where, "unix:", 5) == 0;
  listener = socket(is_unix ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (listener < 0) die("socket");
  struct sockaddr_un un = {.sun_family = AF_UNIX};
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (is_unix) strncpy(un.sun_path, where + 5, sizeof un.sun_path - 1);
  if (bind(listener, is_unix ? (struct sockaddr *)&un : (struct sockaddr *)&in, is_unix ? sizeof un : sizeof in) != 0)
    die("bind");
  if (listen(listener, 4096) != 0) die("listen");
  socklen_t length = sizeof in;
  if (!is_unix) getsockname(listener, (struct sockaddr *)&in, &length);
  if (is_unix) printf("{\"address\":\"%s\"}\n", where);
  else printf("{\"address\":\"tcp:%d\"}\n", ntohs(in.sin_port));
  fflush(stdout);
}

int main(int count, char **list) {
  if (count != 3) return 2;
  signal(SIGPIPE, SIG_IGN);
  poller = epoll_create1(EPOLL_CLOEXEC);
  listen_at(list[2]);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = &listener};
  epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
  event.data.ptr = &poller;
  epoll_ctl(poller, EPOLL_CTL_ADD, 0, &event);
  for (;;) {
    struct epoll_event events[EVENTS];
    int ready = epoll_wait(poller, events, EVENTS, -1);
    for (int i = 0; i < ready; i++) {
      if (events[i].data.ptr == &listener) admit();
      else if (events[i].data.ptr == &poller) {
        if (read(0, chunk, CHUNK) <= 0) return 0;
      } else {
        struct peer *peer = events[i].data.ptr;
        if (events[i].events & EPOLLOUT && !flush(peer)) drop(peer);
        else if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR) && peer->reads) serve(peer, list[1]);
      }
    }
  }
}
