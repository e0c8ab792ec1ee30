// Updates and norms of many tensors in one call: all of them lie end to end and are cut into equal
// chunks, so that many small ones cost one parallel region and a large one feeds every core.
#include <algorithm>
#include <cmath>

#include "core/parallel.h"
#include "cpu/drivers.h"
#include "cpu/micro.h"
#include "cpu/workspace.h"

namespace lamina::cpu {
namespace {

constexpr int64_t kChunk = 16384;

int64_t elements(std::span<const UpdateRow> rows) {
  int64_t n = 0;
  for (const UpdateRow& row : rows) n += row.n;
  return n;
}

// f<T>(row, first, count, number of the chunk) over all elements of all rows.
template <class F>
void for_chunks(std::span<const UpdateRow> rows, F f) {
  const auto count = static_cast<int64_t>(rows.size());
  const Workspace<int64_t, 2048> starts(count + 1);
  starts[0] = 0;
  for (int64_t i = 0; i < count; ++i) starts[i + 1] = starts[i] + rows[static_cast<size_t>(i)].n;
  parallel_for(starts[count], kChunk, [&](int64_t begin, int64_t end) {
    const int64_t chunk = begin / kChunk;
    const int64_t* const first = starts.data();
    int64_t i = std::upper_bound(first, first + count + 1, begin) - first - 1;
    for (; begin < end; ++i) {
      const int64_t n = std::min(end, starts[i + 1]) - begin;
      if (n == 0) continue;
      const UpdateRow& row = rows[static_cast<size_t>(i)];
      dispatch_floating("update", row.dtype, [&]<class T>() {
        f.template operator()<T>(row, begin - starts[i], n, chunk);
      });
      begin += n;
    }
  });
}

// Null stays null.
template <class T>
T* at(void* p, int64_t offset) {
  return p ? static_cast<T*>(p) + offset : nullptr;
}

template <class T>
const T* target_of(const UpdateRow& row, int64_t offset) {
  return static_cast<const T*>(row.target) + offset;
}

double worse(double a, double b) { return std::isnan(a) || a > b ? a : b; }

// A sum over all chunks, in their order.
template <class F>
double sum_chunks(std::span<const UpdateRow> rows, F term) {
  const int64_t chunks = (elements(rows) + kChunk - 1) / kChunk;
  const Workspace<double> parts(chunks);
  std::fill_n(parts.data(), chunks, 0.0);
  for_chunks(rows, [&]<class T>(const UpdateRow& row, int64_t first, int64_t n, int64_t chunk) {
    parts[chunk] += term(n, target_of<T>(row, first));
  });
  double sum = 0;
  for (int64_t i = 0; i < chunks; ++i) sum += parts[i];
  return sum;
}

// The largest of what `extreme` finds in each chunk, NaN above all; `start` where there is none.
template <class F>
double extreme_of_chunks(std::span<const UpdateRow> rows, double start, F extreme) {
  const int64_t chunks = (elements(rows) + kChunk - 1) / kChunk;
  const Workspace<double> parts(chunks);
  std::fill_n(parts.data(), chunks, start);
  for_chunks(rows, [&]<class T>(const UpdateRow& row, int64_t first, int64_t n, int64_t chunk) {
    parts[chunk] = worse(parts[chunk], extreme(n, target_of<T>(row, first)));
  });
  double most = start;
  for (int64_t i = 0; i < chunks; ++i) most = worse(most, parts[i]);
  return most;
}

template <class T>
bool any_nonzero(int64_t n, const T* x) {
  return std::any_of(x, x + n, [](T v) { return v != 0; });
}

}  // namespace

void update(Ctx&, Update what, std::span<const UpdateRow> rows) {
  for_chunks(rows, [&]<class T>(const UpdateRow& row, int64_t first, int64_t n, int64_t) {
    T coefficients[kUpdateCoefficients];
    for (int k = 0; k < kUpdateCoefficients; ++k) coefficients[k] = T(row.coefficients[k]);
    T* state[kUpdateStates];
    for (int k = 0; k < kUpdateStates; ++k) state[k] = at<T>(row.state[k], first);
    micro().of<T>().optim.update[static_cast<int>(what)](
        n, at<T>(row.target, first), at<T>(const_cast<void*>(row.source), first), state,
        coefficients);
  });
}

double total_norm(Ctx&, std::span<const UpdateRow> rows, double order) {
  if (order == 2)
    return std::sqrt(sum_chunks(rows, []<class T>(int64_t n, const T* x) {
      return micro().of<T>().optim.sum_squares(n, x);
    }));
  if (order == 1)
    return sum_chunks(
        rows, []<class T>(int64_t n, const T* x) { return micro().of<T>().optim.sum_abs(n, x); });
  if (order == 0)
    return static_cast<double>(std::count_if(rows.begin(), rows.end(), [](const UpdateRow& row) {
      return dispatch_floating("total_norm", row.dtype,
                               [&]<class T>() { return any_nonzero(row.n, target_of<T>(row, 0)); });
    }));
  if (std::isinf(order) && order > 0)
    return extreme_of_chunks(rows, 0, []<class T>(int64_t n, const T* x) {
      return double(micro().of<T>().optim.max_abs(n, x));
    });
  if (std::isinf(order))
    return -extreme_of_chunks(rows, -INFINITY, []<class T>(int64_t n, const T* x) {
      double most = -INFINITY;
      for (int64_t i = 0; i < n; ++i) most = worse(most, -std::fabs(double(x[i])));
      return most;
    });
  return std::pow(sum_chunks(rows,
                             [&]<class T>(int64_t n, const T* x) {
                               double sum = 0;
                               for (int64_t i = 0; i < n; ++i)
                                 sum += std::pow(std::fabs(double(x[i])), order);
                               return sum;
                             }),
                  1 / order);
}

}  // namespace lamina::cpu
