// The gradient of a large table of which a step reads few rows: a tensor like any other, whose
// zeros are pages that nobody has touched yet, and a note which rows are not zero. The note is good
// until the tensor is written in place, and only says where to look: without it the tensor means
// the same.
#include <sys/mman.h>

#include <mutex>
#include <unordered_map>

#include "ops/common.h"

namespace lamina::ops {
namespace {

struct Note {
  Tensor rows;
  uint32_t version;  // of the storage
};
struct Notes {
  std::mutex mutex;
  std::unordered_map<const void*, Note> of;  // by where the memory begins
};
// Never destroyed: a tensor may outlive everything else.
Notes& notes() {
  static Notes* const all = new Notes;
  return *all;
}

struct Pages {
  void* data;
  size_t bytes;
};

void give_back(void* context) noexcept {
  const auto* const pages = static_cast<Pages*>(context);
  Note gone;  // dies after the lock is gone
  {
    const std::lock_guard lock(notes().mutex);
    if (const auto found = notes().of.find(pages->data); found != notes().of.end()) {
      gone = std::move(found->second);
      notes().of.erase(found);
    }
  }
  munmap(pages->data, pages->bytes);
  delete pages;
}

}  // namespace

Tensor untouched_zeros(const Dims& sizes, DType dtype, Device device) {
  const auto bytes = static_cast<size_t>(checked_numel(sizes) * item_size(dtype));
  if (!device.is_cpu() || bytes == 0) return zeros(sizes, dtype, device);
  void* const data =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  check<MemoryError>(data != MAP_FAILED, "embedding: no memory for a gradient of ", bytes,
                     " bytes");
  auto impl = make<TensorImpl>();
  impl->storage = make<Storage>(device, data, bytes, give_back, new Pages{data, bytes}, true);
  impl->sizes = sizes;
  impl->strides = contiguous_strides(sizes);
  impl->numel = checked_numel(sizes);
  impl->dtype = dtype;
  return Tensor(std::move(impl));
}

void note_rows(const Tensor& table, const Tensor& rows) {
  const std::lock_guard lock(notes().mutex);
  notes().of[table.storage().data()] = {rows, table.storage().version()};
}

Tensor touched_rows(const Tensor& x) {
  check<ValueError>(x.rank() >= 1, "touched_rows: a 0-d tensor has no rows", line("input", x));
  if (x.contiguous() && x.offset() == 0) {
    const std::lock_guard lock(notes().mutex);
    const auto found = notes().of.find(x.storage().data());
    if (found != notes().of.end() && found->second.version == x.storage().version())
      return found->second.rows;
  }
  const GradMode off(false);
  Tensor there = ne(detach(x), scalar(0));
  if (x.rank() > 1) {
    std::vector<int64_t> rest;
    for (int i = 1; i < x.rank(); ++i) rest.push_back(i);
    there = any(there, rest);
  }
  return reshape(nonzero(there), Dims{-1});
}

}  // namespace lamina::ops
