// The one file that compiles the test framework itself; the cases are in test_*.cpp.
#define BOOST_TEST_MODULE lamina
#include <boost/test/included/unit_test.hpp>
