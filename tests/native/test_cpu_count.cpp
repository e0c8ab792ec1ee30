#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "core/cpu_count.h"

namespace {

namespace fs = std::filesystem;

// A file system of our own: path -> content.
class Root {
 public:
  explicit Root(const std::map<std::string, std::string>& files) {
    std::string name = (fs::temp_directory_path() / "lamina-XXXXXX").string();
    BOOST_REQUIRE(mkdtemp(name.data()) != nullptr);
    path_ = name;
    for (const auto& [file, content] : files) {
      const fs::path full = path_ + file;
      fs::create_directories(full.parent_path());
      std::ofstream(full) << content;
    }
  }
  ~Root() { fs::remove_all(path_); }
  std::optional<double> quota() const { return lamina::detail::cgroup_cpu_quota(path_); }

 private:
  std::string path_;
};

const std::string kV2Mount =
    "30 23 0:26 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup rw\n";
const std::string kV1Mount =
    "31 23 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "32 23 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n";

}  // namespace

BOOST_AUTO_TEST_SUITE(cpu_count)

BOOST_AUTO_TEST_CASE(this_machine_has_a_cpu) { BOOST_TEST(lamina::usable_cpus() >= 1); }

BOOST_AUTO_TEST_CASE(no_cgroups_no_quota) { BOOST_TEST(!Root({}).quota().has_value()); }

BOOST_AUTO_TEST_CASE(version_2_takes_the_tightest_ancestor) {
  const Root root({{"/proc/self/mountinfo", kV2Mount},
                   {"/proc/self/cgroup", "0::/a/b/c\n"},
                   {"/sys/fs/cgroup/a/cpu.max", "150000 100000\n"},
                   {"/sys/fs/cgroup/a/b/cpu.max", "max 100000\n"},
                   {"/sys/fs/cgroup/a/b/c/cpu.max", "400000 100000\n"}});
  BOOST_TEST(root.quota().value() == 1.5);
}

BOOST_AUTO_TEST_CASE(version_2_without_a_limit) {
  const Root root({{"/proc/self/mountinfo", kV2Mount},
                   {"/proc/self/cgroup", "0::/\n"},
                   {"/sys/fs/cgroup/cpu.max", "max 100000\n"}});
  BOOST_TEST(!root.quota().has_value());
}

BOOST_AUTO_TEST_CASE(version_1_takes_the_cpu_controller) {
  const Root root({{"/proc/self/mountinfo", kV1Mount},
                   {"/proc/self/cgroup", "5:memory:/m\n3:cpu,cpuacct:/x\n0::/y\n"},
                   {"/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us", "250000\n"},
                   {"/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us", "50000\n"},
                   {"/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n"},
                   {"/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"}});
  BOOST_TEST(root.quota().value() == 5.0);
}

BOOST_AUTO_TEST_CASE(a_container_sees_only_its_part_of_the_tree) {
  const Root root(
      {{"/proc/self/mountinfo", "9 8 0:26 /pod/box /sys/fs/cgroup ro - cgroup2 cgroup rw\n"},
       {"/proc/self/cgroup", "0::/pod/box/job\n"},
       {"/sys/fs/cgroup/job/cpu.max", "200000 100000\n"}});
  BOOST_TEST(root.quota().value() == 2.0);
  const Root host_path({{"/proc/self/mountinfo", kV2Mount},
                        {"/proc/self/cgroup", "0::/pod/not/mounted/here\n"},
                        {"/sys/fs/cgroup/cpu.max", "300000 100000\n"}});
  BOOST_TEST(host_path.quota().value() == 3.0);
}

BOOST_AUTO_TEST_CASE(what_is_no_quota_is_no_quota) {
  for (const char* content : {"", "max", "abc 1", "100000", "0 100000", "100000 0"}) {
    const Root root({{"/proc/self/mountinfo", "garbage\n - \n" + kV2Mount},
                     {"/proc/self/cgroup", "nonsense\n0::/\n"},
                     {"/sys/fs/cgroup/cpu.max", content}});
    BOOST_TEST(!root.quota().has_value(), content);
  }
}

BOOST_AUTO_TEST_SUITE_END()
