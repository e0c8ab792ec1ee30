// The tape and its engine: depth, in-place writes, views, errors, second derivatives.
#include <boost/test/unit_test.hpp>

#include <cmath>
#include <string>
#include <thread>
#include <vector>

#include "autograd/autograd.h"
#include "autograd/checkpoint.h"
#include "core/allocator.h"
#include "ops/ops.h"

using namespace lamina;
namespace o = lamina::ops;

namespace {

Tensor vector_of(std::initializer_list<double> values, bool grad = true) {
  Tensor t = empty({static_cast<int64_t>(values.size())}, DType::Float64);
  std::copy(values.begin(), values.end(), t.as<double>());
  if (grad) set_requires_grad(t, true);
  return t;
}

double at(const Tensor& t, int64_t i) { return o::contiguous(detach(t)).as<double>()[i]; }

void run_backward(const Tensor& t, bool retain = false) {
  backward(std::span(&t, 1), {}, retain, false);
}

struct TimesTwo final : Hook {
  Tensor operator()(const Tensor& g) override { return o::mul(g, o::scalar(2.0)); }
};

struct Count final : Hook {
  int calls = 0;
  Tensor operator()(const Tensor&) override {
    ++calls;
    return {};
  }
};

// f() recorded without saved tensors; they come from calling it again.
template <class F>
Tensor checkpointed(F f) {
  const auto checkpoint = make<Checkpoint>([f] { f(); });
  Tensor out;
  {
    const KeeperMode mode(checkpoint);
    out = f();
  }
  checkpoint->close();
  return out;
}

template <class E, class F>
std::string message_of(F&& f) {
  try {
    f();
  } catch (const E& e) {
    return e.what();
  }
  BOOST_FAIL("nothing was raised");
  return {};
}

bool contains(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(autograd)

BOOST_AUTO_TEST_CASE(a_leaf_adds_up_what_every_use_sends) {
  const Tensor x = vector_of({2, 3});
  const Tensor y = o::sum(o::add(o::mul(x, x), x));  // x^2 + x
  run_backward(y);
  BOOST_TEST(at(grad_of(x), 0) == 5.0);
  BOOST_TEST(at(grad_of(x), 1) == 7.0);
  run_backward(o::sum(x));
  BOOST_TEST(at(grad_of(x), 0) == 6.0);
}

BOOST_AUTO_TEST_CASE(a_chain_of_100000_runs_and_dies_without_recursion) {
  const Tensor x = vector_of({1});
  Tensor y = x;
  for (int i = 0; i < 100000; ++i) y = o::add(y, x);
  run_backward(o::sum(y));
  BOOST_TEST(at(grad_of(x), 0) == 100001.0);
  Tensor dropped = x;
  for (int i = 0; i < 100000; ++i) dropped = o::exp(o::mul(dropped, x));
  dropped = Tensor();  // dies unrun
}

BOOST_AUTO_TEST_CASE(a_saved_output_written_in_place_is_refused_with_both_names) {
  const Tensor x = vector_of({1, 2});
  const Tensor y = o::exp(x);
  o::binary_(BinaryOp::add, y, o::scalar(1.0));
  const std::string text = message_of<RuntimeError>([&] { run_backward(o::sum(y)); });
  BOOST_TEST(contains(text, "exp"));
  BOOST_TEST(contains(text, "add"));
  BOOST_TEST(contains(text, "in place"));
}

BOOST_AUTO_TEST_CASE(an_in_place_op_has_the_gradient_of_its_functional_form) {
  const Tensor x = vector_of({2, 3});
  const Tensor w = vector_of({5, 7});
  const Tensor y = o::mul(x, o::scalar(1.0));
  o::binary_(BinaryOp::mul, y, w);
  o::unary_(UnaryOp::exp, y);
  run_backward(o::sum(y));
  BOOST_CHECK_CLOSE(at(grad_of(x), 0), 5 * std::exp(10.0), 1e-10);
  BOOST_CHECK_CLOSE(at(grad_of(w), 1), 3 * std::exp(21.0), 1e-10);
}

BOOST_AUTO_TEST_CASE(a_write_through_a_view_reaches_the_base) {
  const Tensor x = vector_of({1, 2, 3, 4});
  const Tensor w = vector_of({10, 20});
  const Tensor base = o::mul(x, o::scalar(2.0));
  const Tensor other = o::slice(base, 0, 2, 4);  // made before the write
  const Tensor part = o::slice(base, 0, 1, 3);
  o::binary_(BinaryOp::mul, part, w);  // base = [2 x0, 20 x1 .. ]
  run_backward(o::add(o::sum(base), o::sum(other)), false);
  BOOST_TEST(at(grad_of(x), 0) == 2.0);
  BOOST_TEST(at(grad_of(x), 1) == 20.0);
  BOOST_TEST(at(grad_of(x), 2) == 80.0);  // 2 * 20, seen by the base and by the other view
  BOOST_TEST(at(grad_of(x), 3) == 4.0);
  BOOST_TEST(at(grad_of(w), 0) == 4.0);   // 2 x1
  BOOST_TEST(at(grad_of(w), 1) == 12.0);  // 2 x2, twice
}

BOOST_AUTO_TEST_CASE(a_write_into_a_view_of_plain_memory_gives_the_base_a_history) {
  const Tensor x = vector_of({3});
  const Tensor base = o::zeros({4}, DType::Float64);
  o::copy_(o::slice(base, 0, 1, 2), x);
  BOOST_TEST(requires_grad(base));
  run_backward(o::sum(o::mul(base, base)));
  BOOST_TEST(at(grad_of(x), 0) == 6.0);
}

BOOST_AUTO_TEST_CASE(leaves_and_their_views_are_refused_unless_gradients_are_off) {
  const Tensor x = vector_of({1, 2});
  BOOST_CHECK_THROW(o::fill_(x, 0.0), RuntimeError);
  BOOST_CHECK_THROW(o::fill_(o::slice(x, 0, 0, 1), 0.0), RuntimeError);
  Tensor hidden;
  {
    const GradMode off(false);
    o::binary_(BinaryOp::add, x, o::scalar(1.0));
    hidden = o::slice(x, 0, 0, 1);
    o::fill_(hidden, 9.0);
  }
  BOOST_CHECK_THROW(o::fill_(hidden, 0.0), RuntimeError);
  BOOST_TEST(at(x, 0) == 9.0);
  BOOST_TEST(at(x, 1) == 3.0);
  run_backward(o::sum(o::mul(x, x)));
  BOOST_TEST(at(grad_of(x), 0) == 18.0);
}

BOOST_AUTO_TEST_CASE(an_expanded_tensor_is_not_written) {
  const Tensor x = o::expand(o::zeros({1}, DType::Float64), Dims{3});
  const std::string text = message_of<RuntimeError>([&] { o::fill_(x, 1.0); });
  BOOST_TEST(contains(text, "expanded"));
}

BOOST_AUTO_TEST_CASE(a_freed_graph_says_what_to_do) {
  const Tensor x = vector_of({1});
  const Tensor y = o::sum(o::exp(x));
  run_backward(y, true);
  run_backward(y);
  BOOST_CHECK_CLOSE(at(grad_of(x), 0), 2 * std::exp(1.0), 1e-12);
  const std::string text = message_of<RuntimeError>([&] { run_backward(y); });
  BOOST_TEST(contains(text, "retain_graph=True"));
}

BOOST_AUTO_TEST_CASE(hooks_change_gradients_on_leaves_and_in_between) {
  const Tensor x = vector_of({1});
  const Tensor y = o::mul(x, o::scalar(3.0));
  register_hook(y, make<TimesTwo>());
  const uint64_t id = register_hook(x, make<TimesTwo>());
  run_backward(o::sum(y), true);
  BOOST_TEST(at(grad_of(x), 0) == 12.0);
  remove_hook(x, id);
  const Tensor total = o::sum(y);
  const auto g = grad(std::span(&total, 1), std::span(&x, 1), {}, false, false, false);
  BOOST_TEST(at(g[0], 0) == 6.0);
  BOOST_TEST(at(grad_of(x), 0) == 12.0);  // grad() leaves the leaves alone
}

BOOST_AUTO_TEST_CASE(grad_of_an_unused_input) {
  const Tensor x = vector_of({1});
  const Tensor unused = vector_of({1});
  const Tensor y = o::sum(o::exp(x));
  const Tensor inputs[] = {x, unused};
  const auto g = grad(std::span(&y, 1), inputs, {}, true, false, true);
  BOOST_TEST(!g[1].defined());
  BOOST_CHECK_THROW(grad(std::span(&y, 1), inputs, {}, false, false, false), RuntimeError);
}

BOOST_AUTO_TEST_CASE(second_and_third_derivatives) {
  const Tensor x = vector_of({0.7});
  Tensor y = o::sum(o::tanh(x));
  const double t = std::tanh(0.7);
  const double expected[] = {1 - t * t, -2 * t * (1 - t * t), (6 * t * t - 2) * (1 - t * t)};
  for (const double value : expected) {
    y = grad(std::span(&y, 1), std::span(&x, 1), {}, true, true, false)[0];
    BOOST_CHECK_CLOSE(at(y, 0), value, 1e-10);
    y = o::sum(y);
  }
}

BOOST_AUTO_TEST_CASE(retained_gradients_of_what_is_in_between) {
  const Tensor x = vector_of({2});
  const Tensor y = o::mul(x, x);
  retain_grad(y);
  run_backward(o::sum(o::mul(y, o::scalar(5.0))));
  BOOST_TEST(at(grad_of(y), 0) == 5.0);
  BOOST_TEST(at(grad_of(x), 0) == 20.0);
}

BOOST_AUTO_TEST_CASE(threads_run_graphs_over_one_shared_leaf) {
  const Tensor x = vector_of({1, 2, 3});
  const auto work = [&] {
    for (int i = 0; i < 200; ++i) run_backward(o::sum(o::mul(x, x)));
  };
  std::thread a(work), b(work);
  a.join();
  b.join();
  BOOST_TEST(at(grad_of(x), 2) == 400 * 6.0);
}

BOOST_AUTO_TEST_CASE(threads_run_independent_graphs_with_all_that_graphs_have) {
  // Every thread: a hook, a checkpoint, an in-place write through a view, a second derivative.
  const auto work = [](double start, double* out) {
    for (int i = 0; i < 50; ++i) {
      const Tensor x = vector_of({start, start + 1});
      register_hook(x, make<TimesTwo>());
      const Tensor base = o::mul(x, o::scalar(3.0));
      o::binary_(BinaryOp::mul, o::slice(base, 0, 0, 1), o::scalar(2.0));
      const Tensor y = o::sum(checkpointed([&] { return o::mul(o::tanh(base), base); }));
      const Tensor g = grad(std::span(&y, 1), std::span(&x, 1), {}, true, true, false)[0];
      run_backward(o::sum(o::mul(g, g)));
      out[0] = at(grad_of(x), 0);
      out[1] = at(grad_of(x), 1);
    }
  };
  double wanted[4][2], got[4][2];
  for (int k = 0; k < 4; ++k) work(0.1 * k, wanted[k]);
  std::vector<std::thread> threads;
  for (int k = 0; k < 4; ++k) threads.emplace_back(work, 0.1 * k, got[k]);
  for (std::thread& t : threads) t.join();
  for (int k = 0; k < 4; ++k)
    for (int i = 0; i < 2; ++i) BOOST_TEST(got[k][i] == wanted[k][i]);
}

BOOST_AUTO_TEST_CASE(a_hook_that_waits_for_the_gradient_of_a_leaf) {
  const Tensor x = vector_of({2});
  const auto hook = make<Count>();
  const uint64_t id = register_hook(x, hook, true);
  const Tensor y = o::sum(o::mul(x, x));
  grad(std::span(&y, 1), std::span(&x, 1), {}, true, false, false);
  BOOST_TEST(hook->calls == 0);  // nothing was accumulated
  run_backward(y, true);
  BOOST_TEST(hook->calls == 1);
  remove_hook(x, id);
  run_backward(y);
  BOOST_TEST(hook->calls == 1);
  BOOST_CHECK_THROW(register_hook(o::mul(x, x), hook, true), RuntimeError);
}

BOOST_AUTO_TEST_CASE(backward_into_reaches_what_it_is_told_to) {
  const Tensor x = vector_of({2});
  const Tensor w = vector_of({5});
  const Tensor middle = o::mul(x, w);
  const Tensor y = o::sum(o::mul(middle, middle));
  const Tensor inputs[] = {x, middle};
  backward_into(inputs, std::span(&y, 1), {}, false, false);
  BOOST_TEST(at(grad_of(x), 0) == 100.0);
  BOOST_TEST(at(grad_of(middle), 0) == 20.0);
  BOOST_TEST(!grad_of(w).defined());
}

BOOST_AUTO_TEST_CASE(a_checkpoint_runs_again_once_and_lets_go) {
  const Tensor x = vector_of({0.5, 1.5});
  const auto held = std::make_shared<int>(0);
  const auto f = [x, held] {
    ++*held;
    return o::mul(o::exp(o::sin(x)), x);
  };
  const Tensor plain = o::sum(f());
  Tensor y = o::sum(checkpointed(f));
  BOOST_TEST(*held == 2);
  run_backward(plain);
  const double wanted = at(grad_of(x), 1);
  set_grad(x, {});
  const Tensor g = grad(std::span(&y, 1), std::span(&x, 1), {}, true, true, false)[0];
  BOOST_TEST(*held == 3);
  BOOST_TEST(at(g, 1) == wanted);
  run_backward(y);
  BOOST_TEST(at(grad_of(x), 1) == wanted);
  BOOST_TEST(*held == 3);
  BOOST_TEST(held.use_count() == 2);  // here and in f: the checkpoint's is gone
  checkpointed(f);                    // dropped unrun
  BOOST_TEST(*held == 4);
  BOOST_TEST(held.use_count() == 2);
}

BOOST_AUTO_TEST_CASE(graphs_leave_no_memory_behind) {
  const auto step = [] {
    const Tensor x = vector_of({1, 2, 3});
    run_backward(o::sum(o::exp(o::mul(x, x))));
  };
  step();
  const int64_t before = allocator_stats().live_bytes;
  [[maybe_unused]] const int64_t calls = allocator_stats().system_calls;
  for (int i = 0; i < 1000; ++i) step();
  BOOST_TEST(allocator_stats().live_bytes == before);
#ifndef __SANITIZE_ADDRESS__
  BOOST_TEST(allocator_stats().system_calls == calls);
#endif
}

BOOST_AUTO_TEST_SUITE_END()
