/*
 * The load generator of the benchmarks: one thread over epoll. It prepares all blocks in advance, checks every byte
 * that the server sends back, and prints lines of JSON.
 *
 *   load <mode> <address> [name=value ...]
 *
 * address   tcp:<port on 127.0.0.1>, or unix:<path>
 * mode      echo    opens `connections` connections, and keeps `window` messages in flight on each, for `seconds`.
 *                   The stream is a cycle of `size`-byte lines, and every byte has to return unchanged.
 *           ping    like echo, with one line in flight; prints the median and the 99th percentile of the round trips
 *           sink    sends blocks of 64 KiB on one connection for `seconds`, then a FIN, and waits for the server's FIN
 *           churn   connects, has one line echoed and closes, for `seconds`, `connections` connections at a time
 *           fanout  opens `connections` members. One of them publishes lines, with up to `window` in flight.
 *           idle    opens `connections` connections, reports when all are accepted, and waits for its input to end
 *
 * These modes do a given amount of work, to measure how cost grows:
 *
 *           burst   does this `repeat` times: opens `connections` connections, has `messages` messages echoed on each,
 *                   with up to `window` in flight, and closes all connections cleanly
 *           steady  opens `connections` connections, and prints a line. For each number in its input, has that many
 *                   messages echoed on each connection, with up to `window` in flight, and prints a line.
 *           members like steady, but one member publishes, `window` lines at a time. Every line has to reach all
 *                   members, the publisher included.
 *
 *           trickle like steady, but for the number N, each connection sends one message a second, for N seconds
 *           answer  sends everything back that it receives, for `seconds`, on `connections` connections. A message is
 *                   `size` bytes.
 *
 * With json=1, a message is a line with a JSON object. With prefix=1, a message is not a line, but `size` bytes after a length of 4 bytes, big-endian.
 * With upper=1, the lines have to return in upper case.
 * With ws=1, the lines travel as WebSocket messages, after the handshake. A mask of zeros leaves sent bytes unchanged.
 */
#define _GNU_SOURCE
#include <ctype.h>
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
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* PATIENCE is in ms. */
enum { BLOCK = 65536, LONGEST = 1 << 26, EVENTS = 256, GROUP = 256, PATIENCE = 10000 };

struct peer {
  int fd;
  /* The bytes sent and received on the connection so far. */
  uint64_t sent, received;
  /* The bytes to receive, if the amount of work is given. */
  uint64_t target;
  int wants_out;
  double began;
};

static struct sockaddr_storage address;
static socklen_t address_length;
static int poller;
/* The cycle that each stream repeats, in both directions. It is stored twice, so that any part of it is contiguous. */
struct cycle {
  unsigned char *bytes;
  size_t length, message;
};
static struct cycle there, back;
static int is_ws, has_prefix, is_upper, is_json;
static unsigned char *incoming;
static size_t incoming_length = 1 << 18;

static void die(const char *what) {
  fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void fail(const char *what) {
  fprintf(stderr, "load: %s\n", what);
  exit(1);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static double option(int count, char **list, const char *name, double otherwise) {
  size_t length = strlen(name);
  for (int i = 0; i < count; i++)
    if (strncmp(list[i], name, length) == 0 && list[i][length] == '=') return atof(list[i] + length + 1);
  return otherwise;
}

static void parse_address(const char *text) {
  if (strncmp(text, "tcp:", 4) == 0) {
    struct sockaddr_in *in = (struct sockaddr_in *)&address;
    in->sin_family = AF_INET;
    in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    in->sin_port = htons((uint16_t)atoi(text + 4));
    address_length = sizeof *in;
  } else if (strncmp(text, "unix:", 5) == 0) {
    struct sockaddr_un *un = (struct sockaddr_un *)&address;
    un->sun_family = AF_UNIX;
    if (strlen(text + 5) >= sizeof un->sun_path) fail("the path is too long");
    strcpy(un->sun_path, text + 5);
    address_length = sizeof *un;
  } else fail("the address is neither tcp:<port> nor unix:<path>");
}

static void make_cycle(struct cycle *cycle, size_t messages, size_t size, const unsigned char *head, size_t head_length) {
  cycle->message = head_length + size;
  cycle->length = messages * cycle->message;
  cycle->bytes = malloc(2 * cycle->length);
  if (cycle->bytes == NULL) die("malloc");
  for (size_t index = 0; index < messages; index++) {
    unsigned char *start = cycle->bytes + index * cycle->message;
    memcpy(start, head, head_length);
    start += head_length;
    memset(start, 'a' + (int)(index % 26), size);
    char number[24];
    int digits = snprintf(number, sizeof number, "%zu ", index);
    const char *key = is_json ? "{\"TEXT\":\"" : "";
    memcpy(start, key, strlen(key));
    if (strlen(key) + (size_t)digits + 3 < size) memcpy(start + strlen(key), number, (size_t)digits);
    if (is_json) memcpy(start + size - 3, "\"}", 2);
    if (!has_prefix) start[size - 1] = '\n';
  }
  memcpy(cycle->bytes + cycle->length, cycle->bytes, cycle->length);
}

/* Makes numbered messages of `size` bytes, so that the check notices a message that is lost, repeated or moved. */
static void make_cycles(size_t size) {
  size_t messages = size >= BLOCK ? 2 : BLOCK / size;
  unsigned char masked[6] = {0x82, (unsigned char)(0x80 | size)}, plain[2] = {0x82, (unsigned char)size};
  if (is_ws && size > 125) fail("a WebSocket message of more than 125 bytes is not supported");
  unsigned char prefix[4] = {(unsigned char)(size >> 24), (unsigned char)(size >> 16), (unsigned char)(size >> 8),
                             (unsigned char)size};
  if (has_prefix) make_cycle(&there, messages, size, prefix, sizeof prefix);
  else make_cycle(&there, messages, size, masked, is_ws ? sizeof masked : 0);
  if (is_ws) make_cycle(&back, messages, size, plain, sizeof plain);
  else if (is_upper) {
    make_cycle(&back, messages, size, masked, 0);
    for (size_t i = 0; i < 2 * back.length; i++) back.bytes[i] = (unsigned char)toupper(back.bytes[i]);
  } else back = there;
}

static void watch(struct peer *peer, int operation, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = peer};
  if (epoll_ctl(poller, operation, peer->fd, &event) != 0) die("epoll_ctl");
}

static void shake_hands(int fd) {
  const char *request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
  if (send(fd, request, strlen(request), MSG_NOSIGNAL) < 0) die("send");
  char answer[1024];
  size_t length = 0;
  /* One byte at a time, because the bytes after the header belong to the first message. */
  while (length < 4 || memcmp(answer + length - 4, "\r\n\r\n", 4) != 0)
    if (length == sizeof answer || recv(fd, answer + length++, 1, 0) != 1) fail("the handshake failed");
}

static void open_peer(struct peer *peer) {
  memset(peer, 0, sizeof *peer);
  peer->began = now();
  peer->fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (peer->fd < 0) die("socket");
  /* The socket still blocks: with a non-blocking socket, a busy unix server would cause EAGAIN. */
  while (connect(peer->fd, (struct sockaddr *)&address, address_length) != 0)
    if (errno != EINTR) die("connect");
  if (is_ws) shake_hands(peer->fd);
  if (fcntl(peer->fd, F_SETFL, O_NONBLOCK) != 0) die("fcntl");
  if (address.ss_family == AF_INET) {
    int yes = 1;
    setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  }
  watch(peer, EPOLL_CTL_ADD, EPOLLIN);
}

static void close_peer(struct peer *peer) {
  close(peer->fd);
  peer->fd = -1;
}

/* Sends the cycle until `limit` bytes of the stream have been sent, or the kernel takes no more. */
static void send_up_to(struct peer *peer, uint64_t limit) {
  while (peer->sent < limit) {
    size_t length = limit - peer->sent < there.length ? (size_t)(limit - peer->sent) : there.length;
    ssize_t taken = send(peer->fd, there.bytes + peer->sent % there.length, length, MSG_NOSIGNAL);
    if (taken < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) die("send");
      if (!peer->wants_out) watch(peer, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
      peer->wants_out = 1;
      return;
    }
    peer->sent += (uint64_t)taken;
  }
  if (peer->wants_out) watch(peer, EPOLL_CTL_MOD, EPOLLIN);
  peer->wants_out = 0;
}

/* Receives the available bytes and checks them. Returns their number, or -1 at the end of the stream. */
static ssize_t receive(struct peer *peer) {
  ssize_t got = recv(peer->fd, incoming, incoming_length, 0);
  if (got < 0) {
    if (errno == EAGAIN || errno == EINTR) return 0;
    die("recv");
  }
  if (got == 0) return -1;
  for (ssize_t done = 0; done < got;) {
    size_t at = (size_t)(peer->received % back.length);
    size_t length = (size_t)(got - done) < back.length ? (size_t)(got - done) : back.length;
    if (memcmp(incoming + done, back.bytes + at, length) != 0) fail("a byte that came back is wrong");
    peer->received += length;
    done += (ssize_t)length;
  }
  return got;
}

static int ascending(const void *one, const void *other) {
  double a = *(const double *)one, b = *(const double *)other;
  return a < b ? -1 : a > b;
}

/* Returns how many bytes of a stream may be sent, in whole messages, after `received` bytes have returned. */
static uint64_t due(uint64_t received, size_t messages) {
  return (received / back.message + messages) * there.message;
}

static uint64_t least(uint64_t one, uint64_t other) {
  return one < other ? one : other;
}

static void echo(size_t connections, size_t messages, double seconds, int ping) {
  struct peer *peers = calloc(connections, sizeof *peers);
  size_t most = 1 << 20, trips = 0;
  double *times = ping ? malloc(most * sizeof *times) : NULL;
  for (size_t i = 0; i < connections; i++) open_peer(&peers[i]);
  /* The first tenth is a warm-up. */
  double start = now(), counted = start + seconds / 10, end = counted + seconds, from = 0;
  uint64_t total = 0, before = 0;
  for (size_t i = 0; i < connections; i++) send_up_to(&peers[i], due(0, messages));
  for (size_t i = 0; i < connections; i++) peers[i].began = now();
  for (double time = start; time < end;) {
    struct epoll_event events[EVENTS];
    int ready = epoll_wait(poller, events, EVENTS, 1000);
    if (ready < 0 && errno != EINTR) die("epoll_wait");
    time = now();
    if (from == 0 && time >= counted) from = time, before = total;
    for (int i = 0; i < ready; i++) {
      struct peer *peer = events[i].data.ptr;
      if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        ssize_t got = receive(peer);
        if (got < 0) fail("the server has ended a connection");
        total += (uint64_t)got;
        if (ping && got > 0 && peer->received % back.message == 0) {
          double arrived = now();
          if (from != 0 && trips < most) times[trips++] = arrived - peer->began;
          peer->began = now();
        }
      }
      send_up_to(peer, due(peer->received, messages));
    }
    if (ready == 0) fail("nothing came back for a second");
  }
  double took = now() - from;
  uint64_t bytes = total - before;
  /* All messages, for the processor time; the rates leave out the warm-up. */
  printf("{\"messages\":%llu,\"seconds\":%.6f,\"bytesPerSecond\":%.0f,\"messagesPerSecond\":%.1f",
         (unsigned long long)(total / back.message), took, (double)bytes / took,
         (double)bytes / (double)back.message / took);
  if (ping && trips > 0) {
    qsort(times, trips, sizeof *times, ascending);
    printf(",\"median\":%.3f,\"p99\":%.3f", times[trips / 2] * 1e6, times[trips * 99 / 100] * 1e6);
  }
  printf("}\n");
}

static void sink(double seconds) {
  struct peer peer;
  open_peer(&peer);
  double start = now(), end = start + seconds;
  while (now() < end) {
    send_up_to(&peer, peer.sent + 16 * (uint64_t)there.length);
    if (!peer.wants_out) continue;
    struct epoll_event event;
    if (epoll_wait(poller, &event, 1, 5000) == 0) fail("the server takes nothing");
  }
  fcntl(peer.fd, F_SETFL, 0);
  shutdown(peer.fd, SHUT_WR);
  char reply[64];
  ssize_t length = 0, got;
  while ((got = recv(peer.fd, reply + length, sizeof reply - 1 - (size_t)length, 0)) > 0) length += got;
  if (got < 0) die("recv");
  double took = now() - start;
  reply[length] = 0;
  if (strtoull(reply, NULL, 10) != peer.sent) fail("the server counted a different number of bytes");
  printf("{\"bytes\":%llu,\"seconds\":%.6f,\"bytesPerSecond\":%.0f}\n", (unsigned long long)peer.sent, took,
         (double)peer.sent / took);
}

static void churn(size_t connections, double seconds) {
  struct peer *peers = calloc(connections, sizeof *peers);
  double start = now(), end = start + seconds;
  uint64_t done = 0;
  for (size_t i = 0; i < connections; i++) open_peer(&peers[i]), send_up_to(&peers[i], there.message);
  while (now() < end) {
    struct epoll_event events[EVENTS];
    int ready = epoll_wait(poller, events, EVENTS, 1000);
    if (ready == 0) fail("nothing came back for a second");
    for (int i = 0; i < ready; i++) {
      struct peer *peer = events[i].data.ptr;
      if (receive(peer) < 0) fail("the server has ended a connection");
      if (peer->received < back.message) continue;
      /* Both sides end cleanly. Otherwise, the ports would run out, or the server would see resets. */
      shutdown(peer->fd, SHUT_WR);
      fcntl(peer->fd, F_SETFL, 0);
      char rest;
      if (recv(peer->fd, &rest, 1, 0) > 0) fail("more came back than was sent");
      close_peer(peer);
      done++;
      open_peer(peer);
      send_up_to(peer, there.message);
    }
  }
  double took = now() - start;
  printf("{\"connections\":%llu,\"seconds\":%.6f,\"connectionsPerSecond\":%.1f}\n", (unsigned long long)done, took,
         (double)done / took);
}

static void receive_exactly(int fd, size_t length) {
  while (length > 0) {
    ssize_t got = recv(fd, incoming, length < incoming_length ? length : incoming_length, MSG_WAITALL);
    if (got <= 0) fail("a member was not served");
    length -= (size_t)got;
  }
}

/* The server accepts connections in order. When all have received the line of the last one, all have joined. */
static struct peer *join(size_t members) {
  struct peer *peers = calloc(members, sizeof *peers);
  for (size_t i = 0; i < members; i++) open_peer(&peers[i]);
  struct peer *last = &peers[members - 1];
  send_up_to(last, there.message);
  last->sent = 0;
  for (size_t i = 0; i < members; i++) {
    fcntl(peers[i].fd, F_SETFL, 0);
    receive_exactly(peers[i].fd, back.message);
    fcntl(peers[i].fd, F_SETFL, O_NONBLOCK);
  }
  return peers;
}

/* Each member, the publisher included, has to receive every line. */
static void fanout(size_t members, size_t messages, double seconds) {
  struct peer *peers = join(members);
  struct peer *publisher = &peers[0];
  uint64_t total = 0, slowest = 0;
  double start = now(), end = start + seconds;
  send_up_to(publisher, due(0, messages));
  while (now() < end) {
    struct epoll_event events[EVENTS];
    int ready = epoll_wait(poller, events, EVENTS, 1000);
    if (ready == 0) fail("nothing came back for a second");
    for (int i = 0; i < ready; i++) {
      struct peer *peer = events[i].data.ptr;
      if (!(events[i].events & EPOLLIN)) continue;
      ssize_t got = receive(peer);
      if (got < 0) fail("the server has ended a connection");
      total += (uint64_t)got;
    }
    slowest = peers[0].received;
    for (size_t i = 1; i < members; i++)
      if (peers[i].received < slowest) slowest = peers[i].received;
    send_up_to(publisher, due(slowest, messages));
  }
  double took = now() - start;
  printf("{\"deliveries\":%llu,\"seconds\":%.6f,\"deliveriesPerSecond\":%.1f}\n", (unsigned long long)(total / back.message), took,
         (double)total / (double)back.message / took);
}

static void idle(size_t connections) {
  struct peer *peers = calloc(connections, sizeof *peers);
  for (size_t i = 0; i < connections; i++) open_peer(&peers[i]);
  /* The server accepts connections in order. When the last one's line returns, the server has accepted all. */
  struct peer *last = &peers[connections - 1];
  send_up_to(last, there.message);
  fcntl(last->fd, F_SETFL, 0);
  receive_exactly(last->fd, back.message);
  printf("{\"open\":%zu}\n", connections);
  fflush(stdout);
  char byte;
  while (read(0, &byte, 1) > 0);
}

static void exchange(struct peer *peers, size_t count, size_t messages, size_t window) {
  size_t left = 0;
  for (size_t i = 0; i < count; i++) {
    struct peer *peer = &peers[i];
    peer->target = (peer->received / back.message + messages) * back.message;
    if (peer->received < peer->target) left++;
    send_up_to(peer, least(due(peer->received, window), peer->target));
  }
  while (left > 0) {
    struct epoll_event events[EVENTS];
    int ready = epoll_wait(poller, events, EVENTS, PATIENCE);
    if (ready == 0) fail("nothing came back for seconds");
    for (int i = 0; i < ready; i++) {
      struct peer *peer = events[i].data.ptr;
      if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        uint64_t before = peer->received;
        if (receive(peer) < 0) fail("the server has ended a connection");
        if (before < peer->target && peer->received >= peer->target) left--;
        if (peer->received > peer->target) fail("more came back than was sent");
      }
      send_up_to(peer, least(due(peer->received, window), peer->target));
    }
  }
}

/* Opens only GROUP connections at a time, so that they fit into the listener's queue. */
static void open_all(struct peer *peers, size_t count) {
  for (size_t done = 0; done < count; done += GROUP) {
    size_t group = count - done < GROUP ? count - done : GROUP;
    for (size_t i = 0; i < group; i++) open_peer(&peers[done + i]);
    exchange(peers + done, group, 1, 1);
  }
}

static void end_all(struct peer *peers, size_t count) {
  for (size_t i = 0; i < count; i++) shutdown(peers[i].fd, SHUT_WR);
  for (size_t i = 0; i < count; i++) {
    fcntl(peers[i].fd, F_SETFL, 0);
    char rest;
    if (recv(peers[i].fd, &rest, 1, 0) > 0) fail("more came back than was sent");
    close_peer(&peers[i]);
  }
}

static void burst(size_t connections, size_t messages, size_t window, size_t repeat) {
  struct peer *peers = calloc(connections, sizeof *peers);
  double start = now();
  for (size_t i = 0; i < repeat; i++) {
    open_all(peers, connections);
    exchange(peers, connections, messages - 1, window);
    end_all(peers, connections);
  }
  printf("{\"seconds\":%.6f}\n", now() - start);
}

/* Sends `seconds` messages on each connection, evenly spread over that many seconds, and waits for all answers. */
static void spread_out(struct peer *peers, size_t count, size_t seconds) {
  uint64_t total = (uint64_t)count * seconds, sent = 0, received = 0;
  double start = now(), last = start;
  while (received < total) {
    while (sent < total && now() >= start + (double)sent / (double)count) {
      struct peer *peer = &peers[sent++ % count];
      send_up_to(peer, peer->sent + there.message);
    }
    int wait = sent < total ? 1 : PATIENCE;
    struct epoll_event events[EVENTS];
    int ready = epoll_wait(poller, events, EVENTS, wait);
    if (ready > 0) last = now();
    else if (now() - last > PATIENCE / 1000.0) fail("nothing came back for seconds");
    for (int i = 0; i < ready; i++) {
      struct peer *peer = events[i].data.ptr;
      uint64_t before = peer->received / back.message;
      if (receive(peer) < 0) fail("the server has ended a connection");
      received += peer->received / back.message - before;
    }
  }
}

/* Answers each number in its input when that many messages have been exchanged, in that many seconds if `is_slow`. */
static void steady(size_t connections, size_t window, int is_slow) {
  struct peer *peers = calloc(connections, sizeof *peers);
  open_all(peers, connections);
  printf("{\"open\":%zu}\n", connections);
  fflush(stdout);
  size_t messages;
  while (scanf("%zu", &messages) == 1) {
    double start = now();
    if (is_slow) spread_out(peers, connections, messages);
    else exchange(peers, connections, messages, window);
    printf("{\"seconds\":%.6f}\n", now() - start);
    fflush(stdout);
  }
  end_all(peers, connections);
}

static void answer(size_t connections, size_t size, double seconds) {
  struct peer *peers = calloc(connections, sizeof *peers);
  for (size_t i = 0; i < connections; i++) open_peer(&peers[i]);
  double start = now(), counted = start + seconds / 10, end = counted + seconds, from = 0;
  uint64_t total = 0, before = 0;
  for (double time = start; time < end;) {
    struct epoll_event events[EVENTS];
    int ready = epoll_wait(poller, events, EVENTS, 1000);
    if (ready == 0) fail("nothing came for a second");
    time = now();
    if (from == 0 && time >= counted) from = time, before = total;
    for (int i = 0; i < ready; i++) {
      struct peer *peer = events[i].data.ptr;
      ssize_t got = recv(peer->fd, incoming, incoming_length, 0);
      if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
      if (got <= 0) fail("the server has ended a connection");
      /* Few messages are in flight, so the kernel takes all of them. */
      if (send(peer->fd, incoming, (size_t)got, MSG_NOSIGNAL) != got) die("send");
      total += (uint64_t)got;
    }
  }
  double took = now() - from;
  uint64_t bytes = total - before;
  printf("{\"messages\":%llu,\"seconds\":%.6f,\"messagesPerSecond\":%.1f}\n", (unsigned long long)(total / size), took,
         (double)bytes / (double)size / took);
}

/* Answers each number in its input when that many lines have reached all members. */
static void publish(size_t members, size_t window) {
  struct peer *peers = join(members);
  printf("{\"open\":%zu}\n", members);
  fflush(stdout);
  size_t messages;
  uint64_t target = 0;
  while (scanf("%zu", &messages) == 1) {
    double start = now();
    for (size_t done = 0; done < messages; done += window) {
      target += (messages - done < window ? messages - done : window) * back.message;
      send_up_to(&peers[0], target);
      for (size_t left = members; left > 0;) {
        struct epoll_event events[EVENTS];
        int ready = epoll_wait(poller, events, EVENTS, PATIENCE);
        if (ready == 0) fail("nothing came for seconds");
        for (int i = 0; i < ready; i++) {
          struct peer *peer = events[i].data.ptr;
          if (receive(peer) < 0) fail("the server has ended a connection");
          if (peer->received > target) fail("more came than was published");
          if (peer->received == target && peer->target != target) peer->target = target, left--;
        }
        send_up_to(&peers[0], target);
      }
    }
    printf("{\"seconds\":%.6f}\n", now() - start);
    fflush(stdout);
  }
  /* The connections are not closed cleanly, because the server has no reason to end its direction. */
}

int main(int count, char **list) {
  if (count < 3) fail("load <mode> <address> [name=value ...]");
  signal(SIGPIPE, SIG_IGN);
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  parse_address(list[2]);
  poller = epoll_create1(EPOLL_CLOEXEC);
  if (poller < 0) die("epoll_create1");
  incoming = malloc(incoming_length);
  size_t connections = (size_t)option(count, list, "connections", 1);
  size_t size = (size_t)option(count, list, "size", 64);
  size_t messages = (size_t)option(count, list, "window", 1000);
  size_t repeat = (size_t)option(count, list, "repeat", 1);
  size_t each = (size_t)option(count, list, "messages", 1);
  is_ws = option(count, list, "ws", 0) != 0;
  is_upper = option(count, list, "upper", 0) != 0;
  is_json = option(count, list, "json", 0) != 0;
  has_prefix = option(count, list, "prefix", 0) != 0;
  double seconds = option(count, list, "seconds", 1);
  if (connections < 1 || size < 1 || size > LONGEST || messages < 1 || each < 1) fail("an option is out of its range");
  const char *mode = list[1];
  make_cycles(strcmp(mode, "sink") == 0 ? BLOCK : size);
  if (strcmp(mode, "echo") == 0) echo(connections, messages, seconds, 0);
  else if (strcmp(mode, "ping") == 0) echo(1, 1, seconds, 1);
  else if (strcmp(mode, "sink") == 0) sink(seconds);
  else if (strcmp(mode, "churn") == 0) churn(connections, seconds);
  else if (strcmp(mode, "fanout") == 0) fanout(connections, messages, seconds);
  else if (strcmp(mode, "idle") == 0) idle(connections);
  else if (strcmp(mode, "burst") == 0) burst(connections, each, messages, repeat);
  else if (strcmp(mode, "steady") == 0) steady(connections, messages, 0);
  else if (strcmp(mode, "trickle") == 0) steady(connections, 1, 1);
  else if (strcmp(mode, "answer") == 0) answer(connections, size, seconds);
  else if (strcmp(mode, "members") == 0) publish(connections, messages);
  else fail("there is no such mode");
  return 0;
}
