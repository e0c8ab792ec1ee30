// The matrix product: which form a shape takes, how it is cut into tasks, and the loops around the
// register tiles of kernels/gemm.cpp.
//
//   dot     few rows (or very few columns) and both operands adjacent along k: lanes run along k,
//           nothing is packed, b is read once.
//   local   a is read where it lies (a broadcast has no stride), and so is b when its columns are
//           adjacent and it fits a cache, or rows are few; a transposed b is turned one panel at a
//           time into L1 and used for all rows of the task at once.
//   outer   k is 1: rows of b, scaled, go to c one after another.
//   packed  the rest: for every block of k, panels of a and b are packed by all threads, then tiles
//           of c are computed by all threads (Goto and van de Geijn, 2008; Van Zee and van de
//           Geijn, 2015, with the roles of rows and columns exchanged because c is row-major).
//
// A plan is a function of sizes, strides and the table in use, never of the number of threads, so
// every element of c is the same sum in the same order whoever computes it.
#include <algorithm>

#include "core/parallel.h"
#include "cpu/drivers.h"
#include "cpu/micro.h"
#include "cpu/tasks.h"
#include "cpu/workspace.h"

namespace lamina::cpu {
namespace {

template <class T>
struct Problem {
  int64_t batch, m, n, k;
  const T* a;
  int64_t ab, ai, ap;
  const T* b;
  int64_t bb, bp, bj;
  T* c;
  int64_t cb, ldc;
  const T* bias;
  T alpha, beta;
  Activation act;
  T* a_sums;
};

template <class T>
Problem<T> problem_of(const GemmArgs& g) {
  Problem<T> p{g.c.sizes[0],   g.c.sizes[1],   g.c.sizes[2],   g.a.sizes[2],   g.a.as<T>(),
               g.a.strides[0], g.a.strides[1], g.a.strides[2], g.b.as<T>(),    g.b.strides[0],
               g.b.strides[1], g.b.strides[2], g.c.as<T>(),    g.c.strides[0], g.c.strides[1],
               g.bias.as<T>(), T(g.alpha),     T(g.beta),      g.act,          g.a_sums.as<T>()};
  // One matrix against a batch that is a single tall matrix.
  if (p.batch > 1 && p.bb == 0 && p.ab == p.m * p.ai && p.cb == p.m * p.ldc) {
    p.m *= p.batch;
    p.batch = 1;
  }
  // A stride that no step is taken along may as well be the one that suits the kernels.
  if (p.k == 1) p.ap = p.bp = 1;
  if (p.n == 1) p.bj = 1;
  // a^T x, and every row of c is one element: the transposed product reads a along its rows.
  if (p.n == 1 && p.m > 1 && p.ldc == 1 && p.ai == 1 && p.ap != 1 && p.bias == nullptr &&
      p.a_sums == nullptr) {
    std::swap(p.a, p.b);
    std::swap(p.ab, p.bb);
    p.ap = std::exchange(p.bp, p.ap);
    p.n = std::exchange(p.m, 1);
    p.bj = 1;
    p.ldc = p.n;
  }
  return p;
}

enum class Form : uint8_t { Dot, Local, Packed };

struct Plan {
  Form form;
  bool pack_b;         // Local: a panel of b at a time
  int64_t mc, nc, kc;  // tile of c, depth of a block
  int64_t tiles_m, tiles_n;
  int64_t splits;  // of k, merged in order
  int64_t grain;   // tiles to a block of the parallel_for
};

// Of b, above which its rows are too far apart to be read in place again and again: an L2 cache.
constexpr int64_t kCacheBytes = 1 << 20;
// Up to this k a product is bound by writing c. Some rows at a time, each from end to end, are
// streams that the hardware follows; rows of a tile would be 512 B apart in as many pages.
constexpr int64_t kShallow = 16;
constexpr int kShallowRows = 6;

template <class T>
Plan plan_of(const Problem<T>& p, const GemmMicro<T>& micro) {
  Plan plan{};
  // Where a dimension is small memory sets the pace, as if it were eight.
  const double work = 2.0 * static_cast<double>(std::max<int64_t>(p.m, 8)) *
                      static_cast<double>(std::max<int64_t>(p.n, 8)) *
                      static_cast<double>(std::max<int64_t>(p.k, 8));
  const int64_t k_blocks = std::max<int64_t>(1, ceil_div(p.k, micro.kc));
  plan.kc = std::max<int64_t>(1, ceil_div(p.k, k_blocks));
  plan.splits = 1;
  const bool spills = p.k * p.n * static_cast<int64_t>(sizeof(T)) > kCacheBytes;
  if (p.ap == 1 && p.bp == 1 && (p.bj != 1 || p.n == 1) && (p.m <= micro.dot_m || p.n <= 4)) {
    plan.form = Form::Dot;
  } else if (p.n >= 4 * micro.nr && p.k >= 64 &&
             (p.bj != 1 ? p.m > 4 * micro.mr : p.m > 16 * micro.mr && spills)) {
    plan.form = Form::Packed;
    // Tiles as large as the caches hold, but enough of them, and equal ones, for the threads.
    const int64_t want = std::clamp<int64_t>(static_cast<int64_t>(work / kTaskWork), 1, 16);
    const int64_t panels_n = ceil_div(p.n, micro.nr);
    plan.tiles_m = ceil_div(p.m, micro.mc);
    plan.tiles_n =
        std::max(ceil_div(p.n, micro.nc), std::min(panels_n, ceil_div(want, plan.tiles_m)));
    plan.mc = ceil_div(p.m, plan.tiles_m);
    plan.nc = ceil_div(panels_n, plan.tiles_n) * micro.nr;
    plan.tiles_n = ceil_div(p.n, plan.nc);
    plan.grain = 1;
    return plan;
  } else {
    plan.form = Form::Local;
    plan.pack_b = p.bj != 1;
  }
  const int64_t panels_m = ceil_div(p.m, micro.mr), panels_n = ceil_div(p.n, micro.nr);
  const int64_t want = std::clamp<int64_t>(static_cast<int64_t>(work / kTaskWork), 1, 64);
  // Cutting across columns packs no part of b twice; cutting across rows writes c in long runs, and
  // gives equal tiles where there are few panels of columns.
  if (plan.form == Form::Local && (!plan.pack_b || panels_n < 2 * want) && panels_m >= want) {
    plan.tiles_m = want;
    plan.tiles_n = 1;
  } else {
    plan.tiles_n = std::min(want, panels_n);
    plan.tiles_m = std::min(ceil_div(want, plan.tiles_n), panels_m);
  }
  plan.mc = ceil_div(panels_m, plan.tiles_m) * micro.mr;
  plan.nc = ceil_div(panels_n, plan.tiles_n) * micro.nr;
  plan.tiles_m = ceil_div(p.m, plan.mc);
  plan.tiles_n = ceil_div(p.n, plan.nc);
  const int64_t tiles = plan.tiles_m * plan.tiles_n;
  if (tiles == 1 && p.batch == 1)
    plan.splits = std::clamp<int64_t>(p.k / (2 * micro.kc), 1, std::min<int64_t>(want, 16));
  const double work_of_tile = work / static_cast<double>(tiles * plan.splits);
  plan.grain = fair_grain(p.batch * plan.splits * tiles,
                          std::max<int64_t>(1, static_cast<int64_t>(kTaskWork / work_of_tile)));
  return plan;
}

template <class T>
void activate(Activation act, T* c, int64_t ldc, int64_t rows, int64_t n) {
  if (act == Activation::None) return;
  const auto f = micro().of<T>().pointwise.unary[static_cast<int>(row_of(act))];
  for (int64_t i = 0; i < rows; ++i, c += ldc) f(n, c, c, T(0), T(0));
}

// Sums of rows [i0, i0 + rows) of a over k, while the products that they are part of have them in
// cache. Where the rows are columns of a matrix (the bias gradient of a layer), blocks of them add
// up first: the error grows with the number of blocks and the length of one, not with k.
template <class T>
void sum_rows(const Problem<T>& p, int64_t i0, int64_t rows) {
  constexpr int64_t kBlock = 128, kWidth = 512;
  const ReduceMicro<T>& reduce = micro().of<T>().reduce;
  const T* const a = p.a + i0 * p.ai;
  T* const sums = p.a_sums + i0;
  if (p.ai != 1) {
    for (int64_t i = 0; i < rows; ++i) {
      const T* const row = a + i * p.ai;
      if (p.ap == 1) {
        sums[i] = reduce.sum(p.k, row);
        continue;
      }
      double sum = 0;
      for (int64_t q = 0; q < p.k; ++q) sum += static_cast<double>(row[q * p.ap]);
      sums[i] = T(sum);
    }
    return;
  }
  T block[kWidth];
  for (int64_t i = 0; i < rows; i += kWidth) {
    const int64_t width = std::min(kWidth, rows - i);
    std::fill_n(sums + i, width, T(0));
    for (int64_t q = 0; q < p.k; q += kBlock) {
      std::fill_n(block, width, T(0));
      for (int64_t r = q; r < std::min(q + kBlock, p.k); ++r)
        reduce.add(width, block, a + r * p.ap + i);
      reduce.add(width, sums + i, block);
    }
  }
}

// Rows of `count` in panels of equal height (but for the last), none above mr.
int64_t panel_height(int64_t count, int mr) { return ceil_div(count, ceil_div(count, mr)); }

struct Box {
  int64_t i0, rows, j0, cols, p0, depth;
};

// One tile of c over one range of k, as Dot and Local do it. `panel` holds kc x nr.
template <class T>
void compute_tile(const Problem<T>& p, const Plan& plan, const GemmMicro<T>& micro, const Box& box,
                  T* panel) {
  GemmTile<T> t{};
  t.ai = p.ai;
  t.ap = p.ap;
  t.bp = plan.pack_b ? micro.nr : p.bp;
  t.bj = plan.pack_b ? 1 : p.bj;
  t.ldc = p.ldc;
  t.alpha = p.alpha;
  const T* const bias = p.bias == nullptr ? nullptr : p.bias + box.j0;
  T* const c = p.c + box.i0 * p.ldc + box.j0;
  const T* const a = p.a + box.i0 * p.ai + box.p0 * p.ap;
  const T* const b = p.b + box.j0 * p.bj + box.p0 * p.bp;
  const bool outer = p.k == 1 && !plan.pack_b && p.beta == T(0) && bias == nullptr;
  if (plan.form == Form::Dot || outer) {  // all of the box at once
    t.k = box.depth;
    t.a = a;
    t.b = b;
    t.c = c;
    t.m = static_cast<int>(box.rows);
    t.n = static_cast<int>(box.cols);
    t.beta = p.beta;
    t.bias = bias;
    plan.form == Form::Dot ? micro.dot(t) : micro.outer(t);
  } else {
    // With few steps of k writing c sets the pace: a few rows at a time, each from end to end.
    const bool by_rows = !plan.pack_b && p.k <= kShallow;
    const int64_t height =
        panel_height(box.rows, by_rows ? std::min(kShallowRows, micro.mr) : micro.mr);
    const int64_t width = plan.pack_b || box.rows > micro.thin_rows ? micro.nr : micro.thin_nr;
    int64_t at = 0;
    do {
      const int64_t depth = std::min(plan.kc, box.depth - at);
      t.k = depth;
      t.beta = at == 0 ? p.beta : T(1);
      const bool last = at + depth >= box.depth;
      const auto columns = [&](int64_t j) {
        t.n = static_cast<int>(std::min<int64_t>(width, box.cols - j));
        t.b = b + at * p.bp + j * p.bj;
        t.bias = last && bias != nullptr ? bias + j : nullptr;
      };
      const auto tile = [&](int64_t i, int64_t j) {
        t.m = static_cast<int>(std::min(height, box.rows - i));
        t.a = a + at * p.ap + i * p.ai;
        t.c = c + i * p.ldc + j;
        micro.tile(t);
      };
      if (by_rows) {
        for (int64_t i = 0; i < box.rows; i += height) {
          for (int64_t j = 0; j < box.cols; j += width) {
            columns(j);
            tile(i, j);
          }
        }
      } else {
        for (int64_t j = 0; j < box.cols; j += width) {
          columns(j);
          if (plan.pack_b) {
            micro.pack(depth, t.n, t.b, p.bj, p.bp, panel, micro.nr);
            t.b = panel;
          }
          for (int64_t i = 0; i < box.rows; i += height) tile(i, j);
        }
      }
      at += depth;
    } while (at < box.depth);
  }
  activate(p.act, c, p.ldc, box.rows, box.cols);
}

// Dot and Local.
template <class T>
void run_tiles(const Problem<T>& p, const Plan& plan, const GemmMicro<T>& micro) {
  const int64_t tiles = plan.tiles_m * plan.tiles_n;
  const int64_t split = ceil_div(std::max<int64_t>(p.k, 1), plan.splits);
  const int64_t area = p.m * p.n;
  Workspace<T, 64> partial(plan.splits > 1 ? plan.splits * area : 0);
  parallel_for(p.batch * plan.splits * tiles, plan.grain, [&](int64_t begin, int64_t end) {
    const Workspace<T, 16384> panel(plan.pack_b ? plan.kc * micro.nr : 0);
    for (int64_t index = begin; index < end; ++index) {
      const int64_t tile = index % tiles, item = index / tiles;
      Box box;
      box.i0 = tile / plan.tiles_n * plan.mc;
      box.j0 = tile % plan.tiles_n * plan.nc;
      box.rows = std::min(plan.mc, p.m - box.i0);
      box.cols = std::min(plan.nc, p.n - box.j0);
      box.p0 = 0;
      box.depth = p.k;
      Problem<T> q = p;
      if (plan.splits > 1) {
        box.p0 = std::min(p.k, item * split);
        box.depth = std::min(split, p.k - box.p0);
        q.c = partial.data() + item * area;
        q.ldc = p.n;
        q.bias = nullptr;
        q.alpha = T(1);
        q.beta = T(0);
        q.act = Activation::None;
      } else {
        q.a += item * p.ab;
        q.b += item * p.bb;
        q.c += item * p.cb;
      }
      compute_tile(q, plan, micro, box, panel.data());
      if (p.a_sums != nullptr && box.j0 == 0 && box.p0 == 0) sum_rows(p, box.i0, box.rows);
    }
  });
  if (plan.splits == 1) return;
  for (int64_t i = 0; i < p.m; ++i) {
    T* const c = p.c + i * p.ldc;
    for (int64_t j = 0; j < p.n; ++j) {
      T sum = partial[i * p.n + j];
      for (int64_t s = 1; s < plan.splits; ++s) sum += partial[s * area + i * p.n + j];
      sum *= p.alpha;
      if (p.bias != nullptr) sum += p.bias[j];
      if (p.beta != T(0)) sum += p.beta * c[j];
      c[j] = sum;
    }
  }
  activate(p.act, p.c, p.ldc, p.m, p.n);
}

// One matrix of the batch.
template <class T>
void run_packed(const Problem<T>& p, const Plan& plan, const GemmMicro<T>& micro) {
  constexpr int64_t kPanelsOfTask = 2;  // of b
  const int64_t a_panel = micro.a_width * plan.kc, b_panel = micro.nr * plan.kc;
  const int64_t a_tile = ceil_div(plan.mc, micro.mr) * a_panel;
  const int64_t panels_n = ceil_div(p.n, micro.nr), panels_of_tile = plan.nc / micro.nr;
  const Workspace<T, 64> packed_a(plan.tiles_m * a_tile), packed_b(panels_n * b_panel);
  for (int64_t at = 0; at < p.k; at += plan.kc) {
    const int64_t depth = std::min(plan.kc, p.k - at);
    const bool first = at == 0, last = at + depth >= p.k;
    parallel_for(plan.tiles_m + ceil_div(panels_n, kPanelsOfTask), 1, [&](int64_t task, int64_t) {
      if (task < plan.tiles_m) {
        const int64_t i0 = task * plan.mc, rows = std::min(plan.mc, p.m - i0);
        const int64_t height = panel_height(rows, micro.mr);
        T* to = packed_a.data() + task * a_tile;
        for (int64_t i = 0; i < rows; i += height, to += a_panel) {
          micro.pack(depth, static_cast<int>(std::min(height, rows - i)),
                     p.a + (i0 + i) * p.ai + at * p.ap, p.ai, p.ap, to, micro.a_width);
        }
      } else {
        const int64_t from = (task - plan.tiles_m) * kPanelsOfTask;
        for (int64_t j = from; j < std::min(from + kPanelsOfTask, panels_n); ++j) {
          const int64_t width = std::min<int64_t>(micro.nr, p.n - j * micro.nr);
          micro.pack(depth, static_cast<int>(width), p.b + j * micro.nr * p.bj + at * p.bp, p.bj,
                     p.bp, packed_b.data() + j * b_panel, micro.nr);
        }
      }
    });
    parallel_for(plan.tiles_m * plan.tiles_n, 1, [&](int64_t task, int64_t) {
      const int64_t tile_i = task / plan.tiles_n, tile_j = task % plan.tiles_n;
      const int64_t i0 = tile_i * plan.mc, rows = std::min(plan.mc, p.m - i0);
      const int64_t j0 = tile_j * plan.nc, cols = std::min(plan.nc, p.n - j0);
      const int64_t height = panel_height(rows, micro.mr);
      GemmTile<T> t{};
      t.k = depth;
      t.ai = 1;
      t.ap = micro.a_width;
      t.bp = micro.nr;
      t.bj = 1;
      t.ldc = p.ldc;
      t.alpha = p.alpha;
      t.beta = first ? p.beta : T(1);
      t.a = packed_a.data() + tile_i * a_tile;
      // A panel of a stays in L1 while the tile's panels of b stream past it from L2.
      for (int64_t i = 0; i < rows; i += height, t.a += a_panel) {
        t.m = static_cast<int>(std::min(height, rows - i));
        t.b = packed_b.data() + tile_j * panels_of_tile * b_panel;
        for (int64_t j = 0; j < cols; j += micro.nr, t.b += b_panel) {
          t.n = static_cast<int>(std::min<int64_t>(micro.nr, cols - j));
          t.c = p.c + (i0 + i) * p.ldc + j0 + j;
          t.bias = last && p.bias != nullptr ? p.bias + j0 + j : nullptr;
          micro.tile(t);
        }
      }
      if (last) activate(p.act, p.c + i0 * p.ldc + j0, p.ldc, rows, cols);
      if (last && p.a_sums != nullptr && tile_j == 0) sum_rows(p, i0, rows);
    });
  }
}

template <class T>
void run(const GemmArgs& args) {
  const Problem<T> p = problem_of<T>(args);
  if (p.batch == 0 || p.m == 0) return;
  if (p.n == 0) {
    if (p.a_sums != nullptr) sum_rows(p, 0, p.m);
    return;
  }
  const GemmMicro<T>& g = micro().of<T>().gemm;
  const Plan plan = plan_of(p, g);
  if (plan.form != Form::Packed) return run_tiles(p, plan, g);
  Problem<T> one = p;
  for (int64_t i = 0; i < p.batch; ++i, one.a += p.ab, one.b += p.bb, one.c += p.cb)
    run_packed(one, plan, g);
}

}  // namespace

void gemm(Ctx&, const GemmArgs& args) {
  dispatch_floating("matmul", args.c.dtype, [&]<class T>() { run<T>(args); });
}

}  // namespace lamina::cpu
