#include "core/cpu_count.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>
#include <string_view>
#include <thread>
#include <vector>

#ifdef __linux__
#include <sched.h>
#endif

namespace lamina {
namespace {

int affinity_cpus() {
#ifdef __linux__
  // The kernel refuses a mask that is too short for the machine, so it grows until it is accepted.
  for (int bits = CPU_SETSIZE; bits <= (1 << 20); bits *= 2) {
    cpu_set_t* set = CPU_ALLOC(static_cast<size_t>(bits));
    if (set == nullptr) break;
    const size_t bytes = CPU_ALLOC_SIZE(static_cast<size_t>(bits));
    const bool ok = sched_getaffinity(0, bytes, set) == 0;
    const int count = ok ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (ok && count > 0) return count;
  }
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

bool contains(const std::vector<std::string>& list, std::string_view wanted) {
  return std::find(list.begin(), list.end(), wanted) != list.end();
}

// One mounted hierarchy that can limit CPU time: where it is mounted, and which of its directories
// the mount shows as its root.
struct Hierarchy {
  bool v2 = false;
  std::string mount_point;
  std::string mount_root;
};

std::vector<Hierarchy> cpu_hierarchies(const std::string& root) {
  std::vector<Hierarchy> found;
  std::ifstream file(root + "/proc/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    // id parent major:minor root mount_point options... - type source super_options
    const size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    const auto left = split(line.substr(0, dash), ' ');
    const auto right = split(line.substr(dash + 3), ' ');
    if (left.size() < 5 || right.size() < 3) continue;
    const bool v2 = right[0] == "cgroup2";
    const bool v1 = right[0] == "cgroup" && contains(split(right[2], ','), "cpu");
    if (v1 || v2) found.push_back({v2, left[4], left[3]});
  }
  return found;
}

// The path of this process in the hierarchy, as /proc/self/cgroup has it.
std::optional<std::string> own_path(const std::string& root, bool v2) {
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    // hierarchy:controllers:path, where v2 is hierarchy 0 without controllers
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool match = v2 ? line.compare(0, first, "0") == 0 && controllers.empty()
                          : contains(split(controllers, ','), "cpu");
    if (match) return line.substr(second + 1);
  }
  return std::nullopt;
}

std::optional<double> quota_in(const std::string& directory, bool v2) {
  double quota = 0;
  double period = 0;
  if (v2) {
    std::ifstream file(directory + "/cpu.max");
    if (!(file >> quota >> period)) return std::nullopt;  // no file, or "max": no limit
  } else {
    std::ifstream quota_file(directory + "/cpu.cfs_quota_us");
    std::ifstream period_file(directory + "/cpu.cfs_period_us");
    if (!(quota_file >> quota) || !(period_file >> period)) return std::nullopt;
  }
  if (quota <= 0 || period <= 0) return std::nullopt;  // v1 says -1 for no limit
  return quota / period;
}

}  // namespace

namespace detail {

std::optional<double> cgroup_cpu_quota(const std::string& root) {
  std::optional<double> tightest;
  for (const Hierarchy& h : cpu_hierarchies(root)) {
    std::string path = own_path(root, h.v2).value_or("/");
    // A container sees the host's path although only its own part of the tree is mounted.
    if (h.mount_root != "/" && path.starts_with(h.mount_root)) {
      path.erase(0, h.mount_root.size());
    }
    for (;;) {
      while (!path.empty() && path.back() == '/') path.pop_back();
      const auto quota = quota_in(root + h.mount_point + path, h.v2);
      if (quota && (!tightest || *quota < *tightest)) tightest = quota;
      if (path.empty()) break;
      const size_t slash = path.rfind('/');
      path.erase(slash == std::string::npos ? 0 : slash);
    }
  }
  return tightest;
}

}  // namespace detail

int usable_cpus() {
  const int cpus = affinity_cpus();
  const auto quota = detail::cgroup_cpu_quota();
  if (!quota || *quota >= cpus) return cpus;
  return std::max(1, static_cast<int>(std::lround(*quota)));
}

}  // namespace lamina
