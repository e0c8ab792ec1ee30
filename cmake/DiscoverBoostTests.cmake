# Asks EXECUTABLE for its test cases and writes OUTPUT, which gives CTest one test for each.
execute_process(
  COMMAND ${EXECUTABLE} --list_content=HRF --color_output=no
  RESULT_VARIABLE result OUTPUT_VARIABLE out ERROR_VARIABLE listing)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "${EXECUTABLE} cannot list its tests (${result}):\n${out}${listing}")
endif()

# The listing is a tree: four spaces a level, suites before their cases, "*" on what is enabled.
string(REPLACE "\n" ";" lines "${listing}")
set(path "")
set(depth_before -1)
set(name_before "")
set(tests "")
macro(add_leaf)
  if(name_before)
    list(APPEND tests "${name_before}")
  endif()
endmacro()
foreach(line IN LISTS lines)
  if(NOT line MATCHES "^( *)([A-Za-z0-9_<>, :-]+)\\*(: .*)?$")
    continue()
  endif()
  set(name "${CMAKE_MATCH_2}")
  string(LENGTH "${CMAKE_MATCH_1}" depth)
  math(EXPR depth "${depth} / 4")
  if(depth LESS_EQUAL depth_before)
    add_leaf()  # nothing is below the entry before: it is a case
  endif()
  list(SUBLIST path 0 ${depth} path)
  list(APPEND path "${name}")
  list(JOIN path "/" name_before)
  set(depth_before ${depth})
endforeach()
add_leaf()
if(NOT tests)
  message(FATAL_ERROR "${EXECUTABLE} lists no tests:\n${listing}")
endif()

set(script "")
foreach(test IN LISTS tests)
  string(APPEND script "add_test([==[${test}]==] [==[${EXECUTABLE}]==] [==[--run_test=${test}]==] "
    "--catch_system_errors=no --color_output=no --log_level=test_suite)\n"
    "set_tests_properties([==[${test}]==] PROPERTIES TIMEOUT 300 "
    "ENVIRONMENT \"TSAN_OPTIONS=die_after_fork=0:halt_on_error=1\")\n")
endforeach()
file(WRITE "${OUTPUT}" "${script}")
