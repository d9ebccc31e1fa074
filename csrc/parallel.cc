// SPDX-License-Identifier: MIT
#include "parallel.hh"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>

#if defined(__linux__)
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <sched.h>
#define HP_LINUX 1
#elif defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace hp {
namespace {

constexpr int kMostThreads = 4096;

constexpr int kMostParts = 64;

// Each thread has a part of the tasks, and helps with the others' when its own is done. Neighbouring tasks write neighbouring
// memory: threads that took them in turns would meet in the same fresh (huge) pages, and each would wait for, or repeat, the
// clearing of them. The calling thread's part is the first, as in torch's own loops: its memory may lie in its own core's caches.
struct Loop {
  struct alignas(64) Part {
    std::atomic<int64_t> next;
    int64_t end;
  };
  Part part[kMostParts];
  int parts;
  std::atomic<int> joined{0};
  const std::thread::id caller = std::this_thread::get_id();
  void (*body)(void*, int64_t);
  void* context;

  Loop(int64_t tasks, int threads, void (*body_)(void*, int64_t), void* context_)
      : parts(std::clamp(threads, 1, kMostParts)), body(body_), context(context_) {
    for (int p = 0; p < parts; ++p) {
      part[p].next.store(tasks / parts * p + std::min<int64_t>(tasks % parts, p), std::memory_order_relaxed);
      if (p > 0) part[p - 1].end = part[p].next.load(std::memory_order_relaxed);
    }
    part[parts - 1].end = tasks;
  }

  void drain() {
    const bool calls = parts == 1 || std::this_thread::get_id() == caller;
    const int mine = calls ? 0 : 1 + joined.fetch_add(1, std::memory_order_relaxed) % (parts - 1);
    for (int p = 0; p < parts; ++p) {
      Part& from = part[(mine + p) % parts];
      while (from.next.load(std::memory_order_relaxed) < from.end) {
        const int64_t task = from.next.fetch_add(1, std::memory_order_relaxed);
        if (task < from.end) body(context, task);
      }
    }
  }
};

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Workers wait for a loop, first spinning shortly (a resize is often followed by another), then asleep.
class Pool {
 public:
  // False if another thread is using the pool.
  bool run(Loop& loop, int helpers) {
    std::unique_lock<std::mutex> turn(turn_, std::try_to_lock);
    if (!turn.owns_lock()) return false;
    helpers = grow(helpers);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      loop_ = &loop;
      wanted_ = helpers;
      busy_ = 0;
      ticket_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    loop.drain();
    std::unique_lock<std::mutex> lock(mutex_);
    loop_ = nullptr;  // latecomers find nothing and wait on
    done_.wait(lock, [&] { return busy_ == 0; });
    return true;
  }

 private:
  // Where the system grants no more threads, fewer must do: the caller drains what is left.
  int grow(int helpers) try {
    while (workers_ < helpers) {
      std::thread([this] { work(); }).detach();
      ++workers_;
    }
    return helpers;
  } catch (const std::system_error&) {
    return workers_;
  }

  void work() {
    uint64_t seen = 0;
    for (;;) {
      for (int spin = 0; spin < 2000 && ticket_.load(std::memory_order_acquire) == seen; ++spin) pause();
      Loop* loop = nullptr;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        wake_.wait(lock, [&] { return ticket_.load(std::memory_order_relaxed) != seen; });
        seen = ticket_.load(std::memory_order_relaxed);
        if (loop_ && wanted_ > 0) {
          loop = loop_;
          --wanted_;
          ++busy_;
        }
      }
      if (!loop) continue;
      loop->drain();
      std::lock_guard<std::mutex> lock(mutex_);
      if (--busy_ == 0) done_.notify_all();
    }
  }

  std::mutex turn_, mutex_;
  std::condition_variable wake_, done_;
  Loop* loop_ = nullptr;
  int workers_ = 0, wanted_ = 0, busy_ = 0;
  std::atomic<uint64_t> ticket_{0};
};

// Never destroyed: detached workers may outlive static destructors, and a forked child must not join threads it does not have.
std::atomic<Pool*> pool{nullptr};

Pool& the_pool() {
  Pool* p = pool.load(std::memory_order_acquire);
  if (p) return *p;
  Pool* made = new Pool;
  if (!pool.compare_exchange_strong(p, made)) {
    delete made;  // it has no workers yet
    return *p;
  }
  return *made;
}

std::atomic<bool> forked{false};  // an OpenMP runtime that was loaded before a fork is dead in the child: its threads are not there
std::atomic<int> count{0};        // 0: not asked for; read again when needed
std::atomic<bool> count_chosen{false};

using GompParallel = void (*)(void (*)(void*), void*, unsigned, unsigned);

#if defined(HP_LINUX)
struct Search {
  unsigned long long loaded = 0;  // how many objects were ever loaded
  std::string path;
};

// The runtime that torch brought, else one under its own name. Some wheels rename theirs (libgomp-1a2b3c.so.1) and keep it apart.
int look_at(dl_phdr_info* object, size_t, void* search) {
  const std::string_view path = object->dlpi_name;
  const size_t slash = path.rfind('/');
  if (slash == path.npos || path.substr(slash + 1).substr(0, 7) != "libgomp") return 0;
  const bool of_torch = path.substr(0, slash).ends_with("/torch/lib") || path.substr(0, slash).ends_with("/torch.libs");
  if (of_torch || path.substr(slash + 1) == "libgomp.so.1") static_cast<Search*>(search)->path = path;
  return of_torch;
}
int count_loaded(dl_phdr_info* object, size_t, void* search) {
  static_cast<Search*>(search)->loaded = object->dlpi_adds;
  return 1;
}

std::string openmp_path() {
  Search search;
  dl_iterate_phdr(look_at, &search);
  return search.path;
}

// Imported by a process that was forked and never replaced its program, after libgomp: as if the fork had been seen.
bool born_forked() {
  std::ifstream file("/proc/self/stat");
  std::string text{std::istreambuf_iterator<char>(file), {}};
  const size_t name_end = text.rfind(')');
  if (name_end == text.npos) return false;
  const char* at = text.c_str() + name_end + 2;
  for (int field = 3; field < 9; ++field)
    while (*at && *at++ != ' ') {}
  constexpr unsigned long kForkedNoExec = 0x40;
  return (std::strtoul(at, nullptr, 10) & kForkedNoExec) && !openmp_path().empty();
}
#endif

GompParallel openmp() {
#if defined(HP_LINUX)
  static std::atomic<GompParallel> found{nullptr};
  static std::atomic<unsigned long long> searched{0};
  if (forked.load(std::memory_order_relaxed)) return nullptr;
  if (GompParallel f = found.load(std::memory_order_relaxed)) return f;
  Search now;  // looking is slow: only after something was loaded
  dl_iterate_phdr(count_loaded, &now);
  if (searched.exchange(now.loaded, std::memory_order_relaxed) == now.loaded) return nullptr;
  const std::string path = openmp_path();
  if (path.empty()) return nullptr;
  if (void* library = dlopen(path.c_str(), RTLD_NOLOAD | RTLD_LAZY)) {
    auto f = reinterpret_cast<GompParallel>(dlsym(library, "GOMP_parallel"));
    found.store(f, std::memory_order_relaxed);
    return f;
  }
#endif
  return nullptr;
}

std::mutex fork_lock;

void in_child() {
  pool.store(nullptr);
  forked.store(true);
  if (!count_chosen.load()) count.store(0);  // a worker process may have been given other processors
  fork_lock.unlock();
}

// Registered when the library is loaded: a process may use torch, fork, and call us for the first time in the child.
[[maybe_unused]] const bool prepared = [] {
#if defined(__unix__) || defined(__APPLE__)
  pthread_atfork([] { fork_lock.lock(); }, [] { fork_lock.unlock(); }, in_child);
#endif
#if defined(HP_LINUX)
  forked.store(born_forked());
#endif
  return true;
}();

int available() {
#if defined(HP_LINUX)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
  unsigned n = std::thread::hardware_concurrency();
  return n ? int(n) : 1;
}

int initial() {
  if (const char* text = std::getenv("HALFPIXEL_NUM_THREADS")) {
    const long n = std::strtol(text, nullptr, 10);
    if (n >= 1) return int(std::min(n, long(kMostThreads)));
  }
  return available();
}

}  // namespace

std::mutex& fork_safe_lock() { return fork_lock; }

int num_threads() {
  int n = count.load(std::memory_order_relaxed);
  if (n) return n;
  const int asked = initial();
  return count.compare_exchange_strong(n, asked) ? asked : n;
}

void set_num_threads(int n) {
  count_chosen.store(true);
  count.store(std::clamp(n, 1, kMostThreads));
}

const char* thread_runtime() { return openmp() ? "openmp" : "own"; }

void parallel_for(int64_t tasks, int threads, void (*body)(void*, int64_t), void* context) {
  if (threads > tasks) threads = int(tasks);
  if (threads <= 1) {
    for (int64_t task = 0; task < tasks; ++task) body(context, task);
    return;
  }
  Loop loop(tasks, threads, body, context);
  if (GompParallel run = openmp()) {
    run([](void* p) { static_cast<Loop*>(p)->drain(); }, &loop, unsigned(threads), 0);
    return;
  }
  if (!the_pool().run(loop, threads - 1)) loop.drain();
}

}  // namespace hp
