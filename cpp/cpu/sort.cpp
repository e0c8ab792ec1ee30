// Order along a dimension: sorting, the first k, the median, and the order of rows.
//
// Elements become unsigned keys that compare as the elements do (NaN above everything, -0 and 0
// alike), and a key travels with its index: equal keys are ordered by index, which makes every
// result stable and the same however it was found.
#include <algorithm>
#include <bit>
#include <numeric>

#include "core/parallel.h"
#include "cpu/convert.h"
#include "cpu/drivers.h"
#include "cpu/lines.h"
#include "cpu/workspace.h"

namespace lamina::cpu {
namespace {

constexpr int64_t kGrain = 4 * 1024;  // elements in one task, where a line is not longer
constexpr int64_t kRadixFrom = 192;   // below, comparing is faster than counting
constexpr int64_t kPartialFrom = 8;   // the first k are searched for where n > kPartialFrom * k

template <class T>
using KeyOf = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;

template <class T>
KeyOf<T> order_key(T v) {
  using Key = KeyOf<T>;
  constexpr Key kTop = Key{1} << (8 * sizeof(Key) - 1);
  if constexpr (std::is_floating_point_v<T>) {
    if (v != v) return ~Key{0};
    const Key bits = std::bit_cast<Key>(v == T(0) ? T(0) : v);
    return bits & kTop ? ~bits : bits | kTop;
  } else if constexpr (std::is_signed_v<T>) {
    return static_cast<Key>(v) ^ kTop;
  } else {
    return Key{v};
  }
}

template <class Key>
struct Entry {
  Key key;
  Key index;
  friend bool operator<(const Entry& a, const Entry& b) {
    return a.key < b.key || (a.key == b.key && a.index < b.index);
  }
};

// By the digits of the keys, the least significant first. `spare` has n entries too.
template <class Key>
void radix_sort(Entry<Key>* entries, Entry<Key>* spare, int64_t n) {
  constexpr int kDigits = sizeof(Key);
  int64_t counts[kDigits][256] = {};
  for (int64_t i = 0; i < n; ++i)
    for (int d = 0; d < kDigits; ++d) ++counts[d][entries[i].key >> (8 * d) & 255];
  Entry<Key>* from = entries;
  Entry<Key>* to = spare;
  for (int d = 0; d < kDigits; ++d) {
    int64_t* next = counts[d];
    if (next[from[0].key >> (8 * d) & 255] == n) continue;  // all have the same digit
    std::exclusive_scan(next, next + 256, next, int64_t{0});
    for (int64_t i = 0; i < n; ++i) to[next[from[i].key >> (8 * d) & 255]++] = from[i];
    std::swap(from, to);
  }
  if (from != entries) std::copy(from, from + n, entries);
}

// The entries of a line, whose keys are turned over by `flip`.
template <class T, class Key>
Entry<Key> entry_of(const T* p, int64_t i, Key flip) {
  return {static_cast<Key>(static_cast<Key>(order_key(read<T>(p))) ^ flip), static_cast<Key>(i)};
}

template <class T, class Key>
void fill_entries(const T* p, int64_t step, int64_t n, Key flip, Entry<Key>* entries) {
  for (int64_t i = 0; i < n; ++i) entries[i] = entry_of(p + i * step, i, flip);
}

// The k first of a line, in one pass: what is not before the k-th of those seen is let go. Equal
// keys come in the order of their indices, so one that arrives later is never before it.
template <class T, class Key>
void first_entries(const T* p, int64_t step, int64_t n, int64_t k, Key flip, Entry<Key>* kept,
                   int64_t room) {
  int64_t count = 0;
  bool full = false;
  Key limit{};
  for (int64_t i = 0; i < n; ++i) {
    const Entry<Key> e = entry_of(p + i * step, i, flip);
    if (full && e.key >= limit) continue;
    kept[count++] = e;
    if (count < room) continue;
    std::nth_element(kept, kept + k - 1, kept + count);
    limit = kept[k - 1].key;
    count = k;
    full = true;
  }
  std::sort(kept, kept + count);
}

// Element i of a line of x and i itself become element `to` of the line of the results.
template <class T>
void put(const Lines& lines, const TensorRef& values, const TensorRef& indices, const TensorRef& x,
         int64_t line, int64_t to, int64_t i) {
  const T v = read<T>(x.as<const T>() + lines.offset(x, line) + i * lines.step(x));
  values.as<T>()[lines.offset(values, line) + to * lines.step(values)] = v;
  indices.as<int64_t>()[lines.offset(indices, line) + to * lines.step(indices)] = i;
}

template <class T, class Key>
void sort_lines(const TensorRef& values, const TensorRef& indices, const TensorRef& x, int dim,
                bool descending) {
  const Lines lines(x, dim);
  const int64_t n = lines.length();
  const int64_t k = values.sizes[static_cast<size_t>(dim)];
  const bool partial = n > kPartialFrom * k;
  const int64_t room = partial ? 2 * k + 64 : n;
  const Key flip = descending ? static_cast<Key>(~KeyOf<T>{0}) : Key{0};
  parallel_for(lines.count(), std::max<int64_t>(1, kGrain / n), [&](int64_t first, int64_t last) {
    const Workspace<Entry<Key>> workspace(room), spare(partial ? 0 : n);
    Entry<Key>* entries = workspace.data();
    for (int64_t line = first; line < last; ++line) {
      const T* from = x.as<const T>() + lines.offset(x, line);
      if (partial) {
        first_entries(from, lines.step(x), n, k, flip, entries, room);
      } else {
        fill_entries(from, lines.step(x), n, flip, entries);
        if (n < kRadixFrom)
          std::sort(entries, entries + n);
        else
          radix_sort(entries, spare.data(), n);
      }
      T* value = values.as<T>() + lines.offset(values, line);
      int64_t* index = indices.as<int64_t>() + lines.offset(indices, line);
      for (int64_t i = 0; i < k; ++i) {
        const auto at = static_cast<int64_t>(entries[i].index);
        value[i * lines.step(values)] = read<T>(from + at * lines.step(x));
        index[i * lines.step(indices)] = at;
      }
    }
  });
}

template <class T, class Key>
void median_lines(const TensorRef& values, const TensorRef& indices, const TensorRef& x, int dim) {
  const Lines lines(x, dim);
  const int64_t n = lines.length();
  const int64_t middle = (n - 1) / 2;
  parallel_for(lines.count(), std::max<int64_t>(1, kGrain / n), [&](int64_t first, int64_t last) {
    const Workspace<Entry<Key>> workspace(n);
    Entry<Key>* entries = workspace.data();
    for (int64_t line = first; line < last; ++line) {
      const T* from = x.as<const T>() + lines.offset(x, line);
      const int64_t step = lines.step(x);
      fill_entries(from, step, n, Key{0}, entries);
      int64_t at = n;
      if constexpr (std::is_floating_point_v<T>)  // the first NaN, if there is one
        for (at = 0; at < n && !std::isnan(from[at * step]);) ++at;
      if (at == n) {
        std::nth_element(entries, entries + middle, entries + n);
        at = static_cast<int64_t>(entries[middle].index);
      }
      values.as<T>()[lines.offset(values, line)] = read<T>(from + at * step);
      indices.as<int64_t>()[lines.offset(indices, line)] = at;
    }
  });
}

// f<T, Key>(): the index has the key's type, so a very long line needs the wider one.
template <class F>
void with_keys(const char* op, DType dtype, int64_t n, F&& f) {
  dispatch(op, dtype, [&]<class T>() {
    if (sizeof(KeyOf<T>) == 8 || n > int64_t{UINT32_MAX})
      f.template operator()<T, uint64_t>();
    else
      f.template operator()<T, uint32_t>();
  });
}

}  // namespace

void sort(Ctx&, const TensorRef& values, const TensorRef& indices, const TensorRef& x, int dim,
          bool descending) {
  if (values.numel() == 0) return;
  with_keys("sort", x.dtype, x.sizes[static_cast<size_t>(dim)],
            [&]<class T, class Key>() { sort_lines<T, Key>(values, indices, x, dim, descending); });
}

void median(Ctx&, const TensorRef& values, const TensorRef& indices, const TensorRef& x, int dim) {
  if (values.numel() == 0) return;
  with_keys("median", x.dtype, x.sizes[static_cast<size_t>(dim)],
            [&]<class T, class Key>() { median_lines<T, Key>(values, indices, x, dim); });
}

void order_rows(Ctx&, const TensorRef& order, const TensorRef& x) {
  auto* out = order.as<int64_t>();
  const int64_t n = x.sizes[0], m = x.sizes[1];
  std::iota(out, out + n, 0);
  dispatch("order_rows", x.dtype, [&]<class T>() {
    const T* p = x.as<const T>();
    std::stable_sort(out, out + n, [=](int64_t a, int64_t b) {
      for (int64_t j = 0; j < m; ++j) {
        const auto left = order_key(read<T>(p + a * m + j));
        const auto right = order_key(read<T>(p + b * m + j));
        if (left != right) return left < right;
      }
      return false;
    });
  });
}

}  // namespace lamina::cpu
