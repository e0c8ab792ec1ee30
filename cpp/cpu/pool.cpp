// Max pooling over planes [P, H, W], and what lies at the places of the maxima.
//
// A window's own place, a byte, says where its maximum is: a quarter of the memory of a place in
// the plane, and enough for backward. Lines of windows that lie inside the plane go to the micro
// kernel; those at the edges, and windows of any other kind, through one plain loop.
#include <algorithm>
#include <cstring>
#include <limits>
#include <type_traits>

#include "core/parallel.h"
#include "cpu/convert.h"
#include "cpu/drivers.h"
#include "cpu/micro.h"
#include "cpu/workspace.h"

namespace lamina::cpu {
namespace {

constexpr int64_t kTaskElements = 16 * 1024;
constexpr int64_t kNoCode = 255;

// Windows of a plane: elements, and where an element of a window lies.
struct Grid {
  Windows rows, cols;
  int64_t plane, windows;

  Grid(const Windows& r, const Windows& c)
      : rows(r), cols(c), plane(r.in * c.in), windows(r.out * c.out) {}
  int64_t place(int64_t i, int64_t j, int64_t kr, int64_t kc) const {
    return (rows.start(i) + kr * rows.dilation) * cols.in + cols.start(j) + kc * cols.dilation;
  }
  // Whether an element's place in its window fits a byte.
  bool has_codes() const {
    return rows.kernel <= kNoCode && cols.kernel <= kNoCode && rows.kernel * cols.kernel <= kNoCode;
  }
  // Whether windows touch but do not overlap, 2 x 2, and lie inside.
  bool two_by_two() const {
    const auto fits = [](const Windows& w) {
      return !w.adaptive && w.kernel == 2 && w.stride == 2 && w.padding == 0 && w.dilation == 1 &&
             2 * w.out <= w.in;
    };
    return fits(rows) && fits(cols);
  }
};

// Windows [first, last) of a dimension lie inside; none of an adaptive one count as such.
struct Inside {
  int64_t first = 0, last = 0;
  explicit Inside(const Windows& w) {
    if (w.adaptive) return;
    const int64_t room = w.in - 1 - (w.kernel - 1) * w.dilation + w.padding;
    first = std::min(w.out, (w.padding + w.stride - 1) / w.stride);
    last = room < 0 ? first : std::clamp(room / w.stride + 1, first, w.out);
  }
  bool all(const Windows& w) const { return first == 0 && last == w.out; }
};

// I: what the index holds; void when there is none.
template <class T, class I>
class MaxPool {
 public:
  explicit MaxPool(const MaxPoolArgs& args)
      : grid_(args.rows, args.cols),
        x_(args.x.as<const T>()),
        y_(args.y.as<T>()),
        index_(args.index.as<I>()),
        inside_rows_(args.rows),
        inside_(args.cols),
        micro_(micro().of<T>().pool.max),
        vectors_(args.cols.stride <= 2 && inside_.first < inside_.last &&
                 (grid_.has_codes() || !kIndexed)),
        joined_(vectors_ && (kCodes || !kIndexed) && inside_.all(args.cols) &&
                inside_rows_.all(args.rows) && args.rows.out * args.rows.stride == args.rows.in) {}

  void run(int64_t planes) const {
    const int64_t lines = grid_.rows.out;
    const int64_t work = grid_.cols.out * std::min(grid_.rows.kernel, grid_.rows.in) *
                         std::min(grid_.cols.kernel, grid_.cols.in);
    parallel_for(planes * lines, std::max<int64_t>(1, kTaskElements / std::max<int64_t>(work, 1)),
                 [&](int64_t begin, int64_t end) {
                   if (joined_) return inner(begin / lines, begin % lines, end - begin);
                   while (begin < end) {
                     const int64_t p = begin / lines, i = begin % lines;
                     const int64_t n = std::min(end - begin, lines - i);
                     some_lines(p, i, i + n);
                     begin += n;
                   }
                 });
  }

 private:
  static constexpr bool kIndexed = !std::is_void_v<I>;
  static constexpr bool kCodes = std::is_same_v<I, uint8_t>;

  // Lines [i, end) of windows of one plane.
  void some_lines(int64_t p, int64_t i, int64_t end) const {
    while (i < end) {
      // As many as have whole columns go together.
      const bool whole = i >= inside_rows_.first && i < inside_rows_.last;
      const int64_t n = whole ? std::min(end, inside_rows_.last) - i : 1;
      if (vectors_) inner(p, i, n);
      for (int64_t line = i; line < i + n; ++line) {
        if (!vectors_) {
          edge(p, line, 0, grid_.cols.out);
          continue;
        }
        edge(p, line, 0, inside_.first);
        edge(p, line, inside_.last, grid_.cols.out);
      }
      i += n;
    }
  }

  void inner(int64_t p, int64_t i, int64_t lines) const {
    const Windows &rows = grid_.rows, &cols = grid_.cols;
    const int64_t from = rows.first(i), to = rows.last(i);
    if (from >= to) return edges_of(p, i, lines);
    MaxWindows w;
    w.lines = lines;
    w.count = inside_.last - inside_.first;
    w.rows = static_cast<int>(to - from);
    w.cols = static_cast<int>(cols.kernel);
    w.row_step = rows.dilation * cols.in;
    w.col_step = cols.dilation;
    w.stride = cols.stride;
    w.line_step = rows.stride * cols.in;
    w.out_step = cols.out;
    w.code_step = static_cast<int>(cols.kernel);
    w.first_code = static_cast<int>(from * cols.kernel);
    const T* const x = x_ + p * grid_.plane + grid_.place(i, inside_.first, from, 0);
    const int64_t at = p * grid_.windows + i * cols.out + inside_.first;
    if constexpr (!kIndexed) {
      micro_(w, y_ + at, nullptr, x);
    } else if constexpr (kCodes) {
      micro_(w, y_ + at, index_ + at, x);
    } else {
      const Workspace<uint8_t> codes(lines * cols.out);
      micro_(w, y_ + at, codes.data(), x);
      for (int64_t line = 0; line < lines; ++line)
        for (int64_t j = 0; j < w.count; ++j) {
          const int64_t code = codes[line * cols.out + j];
          index_[at + line * cols.out + j] =
              grid_.place(i + line, inside_.first + j, code / cols.kernel, code % cols.kernel);
        }
    }
  }

  void edges_of(int64_t p, int64_t i, int64_t lines) const {
    for (int64_t line = i; line < i + lines; ++line) edge(p, line, inside_.first, inside_.last);
  }

  // Windows [j, end) of line i, one element after the other.
  void edge(int64_t p, int64_t i, int64_t j, int64_t end) const {
    if (j >= end) return;
    const Windows &rows = grid_.rows, &cols = grid_.cols;
    const T* const plane = x_ + p * grid_.plane;
    const int64_t row0 = rows.first(i), row1 = rows.last(i);
    for (; j < end; ++j) {
      const int64_t col0 = cols.first(j), col1 = cols.last(j);
      T best = -std::numeric_limits<T>::infinity();
      int64_t code = kNoCode, best_place = -1;
      for (int64_t r = row0; r < row1; ++r)
        for (int64_t c = col0; c < col1; ++c) {
          const int64_t place = grid_.place(i, j, r, c);
          const T v = plane[place];
          if (v > best || v != v || best_place < 0) {
            best = v;
            best_place = place;
            code = r * cols.kernel + c;
          }
        }
      const int64_t at = p * grid_.windows + i * cols.out + j;
      y_[at] = best;
      if constexpr (kIndexed) index_[at] = static_cast<I>(kCodes ? code : best_place);
    }
  }

  Grid grid_;
  const T* x_;
  T* y_;
  I* index_;
  Inside inside_rows_, inside_;
  void (*micro_)(const MaxWindows&, T*, uint8_t*, const T*);
  bool vectors_;
  bool joined_;  // the lines of one plane go on in the next, and have no edges
};

// The places in a plane that the entries of an index stand for.
template <class I>
class Places;

template <>
class Places<int64_t> {
 public:
  explicit Places(const Grid& grid) : windows_(grid.windows) {}
  // f(window, place) for the windows of a plane, in order; -1 where there is no element.
  template <class F>
  void for_each(const int64_t* index, F&& f) const {
    for (int64_t at = 0; at < windows_; ++at) f(at, index[at]);
  }

 private:
  int64_t windows_;
};

template <>
class Places<uint8_t> {
 public:
  explicit Places(const Grid& grid)
      : lines_(grid.rows.out), count_(grid.cols.out), first_(lines_ + count_) {
    for (int64_t i = 0; i < lines_; ++i) first_[i] = grid.rows.start(i) * grid.cols.in;
    for (int64_t j = 0; j < count_; ++j) first_[lines_ + j] = grid.cols.start(j);
    for (int64_t code = 0; code < kNoCode; ++code)
      offset_[code] = code / grid.cols.kernel * grid.rows.dilation * grid.cols.in +
                      code % grid.cols.kernel * grid.cols.dilation;
    offset_[kNoCode] = 0;
  }
  template <class F>
  void for_each(const uint8_t* index, F&& f) const {
    const int64_t* const column = first_.data() + lines_;
    int64_t at = 0;
    for (int64_t i = 0; i < lines_; ++i)
      for (int64_t j = 0; j < count_; ++j, ++at) {
        const uint8_t code = index[at];
        f(at, code == kNoCode ? -1 : first_[i] + column[j] + offset_[code]);
      }
  }

 private:
  int64_t lines_, count_;
  Workspace<int64_t> first_;  // where the windows of each line, and of each column, begin
  int64_t offset_[kNoCode + 1];
};

// f(first, last) for runs of planes.
template <class F>
void for_planes(const Grid& grid, int64_t planes, F&& f) {
  const int64_t work = grid.plane + 4 * grid.windows;
  parallel_for(planes, std::max<int64_t>(1, kTaskElements / std::max<int64_t>(work, 1)), f);
}

template <class T>
void put_2x2(const Grid& grid, const MaxPlacesArgs& args) {
  const auto micro_put = micro().of<T>().pool.put_2x2;
  const int64_t width = grid.cols.in, lines = grid.rows.out, count = grid.cols.out;
  // Planes whose lines go on in the next one are one long plane.
  const bool joined = 2 * lines == grid.rows.in;
  for_planes(grid, args.plane.sizes[0], [&](int64_t first, int64_t last) {
    const int64_t step = joined ? last - first : 1;
    for (int64_t p = first; p < last; p += step) {
      T* const plane = args.plane.as<T>() + p * grid.plane;
      micro_put(step * lines, count, plane, width, args.values.as<const T>() + p * grid.windows,
                args.index.as<const uint8_t>() + p * grid.windows);
      // What lies beyond the last windows.
      if (2 * count < width)
        for (int64_t r = 0; r < 2 * step * lines; ++r)
          std::fill(plane + r * width + 2 * count, plane + (r + 1) * width, T(0));
      std::fill(plane + 2 * step * lines * width, plane + step * grid.plane, T(0));
    }
  });
}

template <class T, class I>
void put(const Grid& grid, const MaxPlacesArgs& args) {
  if constexpr (std::is_same_v<I, uint8_t>)
    if (grid.two_by_two()) return put_2x2<T>(grid, args);
  const Places<I> places(grid);
  for_planes(grid, args.plane.sizes[0], [&](int64_t first, int64_t last) {
    for (int64_t p = first; p < last; ++p) {
      T* const plane = args.plane.as<T>() + p * grid.plane;
      const T* const values = args.values.as<const T>() + p * grid.windows;
      std::fill_n(plane, grid.plane, T(0));
      places.for_each(args.index.as<const I>() + p * grid.windows, [&](int64_t at, int64_t place) {
        if (place >= 0) plane[place] += values[at];
      });
    }
  });
}

template <class T, class I>
void take(const Grid& grid, const MaxPlacesArgs& args) {
  const Places<I> places(grid);
  for_planes(grid, args.plane.sizes[0], [&](int64_t first, int64_t last) {
    for (int64_t p = first; p < last; ++p) {
      const T* const plane = args.plane.as<const T>() + p * grid.plane;
      T* const values = args.values.as<T>() + p * grid.windows;
      places.for_each(args.index.as<const I>() + p * grid.windows, [&](int64_t at, int64_t place) {
        values[at] = place < 0 ? T(0) : plane[place];
      });
    }
  });
}

}  // namespace

void max_pool(Ctx&, const MaxPoolArgs& args) {
  const int64_t planes = args.x.sizes[0];
  dispatch_floating("max_pool", args.x.dtype, [&]<class T>() {
    if (!args.index.defined())
      MaxPool<T, void>(args).run(planes);
    else if (args.index.dtype == DType::UInt8)
      MaxPool<T, uint8_t>(args).run(planes);
    else
      MaxPool<T, int64_t>(args).run(planes);
  });
}

void max_pool_take(Ctx&, const MaxPlacesArgs& args) {
  const Grid grid(args.rows, args.cols);
  dispatch_floating("max_pool", args.plane.dtype, [&]<class T>() {
    args.index.dtype == DType::UInt8 ? take<T, uint8_t>(grid, args) : take<T, int64_t>(grid, args);
  });
}

void max_pool_put(Ctx&, const MaxPlacesArgs& args) {
  const Grid grid(args.rows, args.cols);
  dispatch_floating("max_pool", args.plane.dtype, [&]<class T>() {
    args.index.dtype == DType::UInt8 ? put<T, uint8_t>(grid, args) : put<T, int64_t>(grid, args);
  });
}

}  // namespace lamina::cpu
