// How many CPUs this process may really use.
#pragma once

#include <optional>
#include <string>

namespace lamina {

// At least 1: the CPUs in the affinity mask, but not more than the cgroup quota (rounded to the
// nearest whole CPU) pays for.
int usable_cpus();

namespace detail {

// The tightest CPU quota, in CPUs, of this process's cgroup (v1 or v2) and its ancestors; nothing
// if there is none. `root` stands before every path that is read, so that tests can bring their
// own.
std::optional<double> cgroup_cpu_quota(const std::string& root = "");

}  // namespace detail

}  // namespace lamina
