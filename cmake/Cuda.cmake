# The CUDA device: sources, architectures and flags.

if(NOT CMAKE_CUDA_COMPILER)
  find_program(CMAKE_CUDA_COMPILER nvcc
    HINTS ENV CUDACXX ENV CUDA_HOME ENV CUDA_PATH /usr/local/cuda PATH_SUFFIXES bin)
endif()
if(NOT CMAKE_CUDA_COMPILER)
  message(FATAL_ERROR "LAMINA_CUDA=ON needs nvcc: put it on PATH or set CUDA_HOME.")
endif()

# Unless told otherwise: machine code for the first architecture of each generation that this nvcc
# lists, which the later ones of the generation run too, and PTX for generations to come.
if(NOT CMAKE_CUDA_ARCHITECTURES)
  execute_process(COMMAND ${CMAKE_CUDA_COMPILER} --list-gpu-arch
    OUTPUT_VARIABLE listed OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCHALL "[0-9]+" listed "${listed}")
  list(SORT listed COMPARE NATURAL)
  set(architectures "")
  set(generation "")
  foreach(architecture IN LISTS listed)
    string(REGEX REPLACE "[0-9]$" "" next ${architecture})
    if(NOT next STREQUAL generation)
      list(APPEND architectures ${architecture}-real)
      set(newest ${architecture})
    endif()
    set(generation ${next})
  endforeach()
  set(CMAKE_CUDA_ARCHITECTURES ${architectures} ${newest}-virtual
    CACHE STRING "CUDA architectures" FORCE)
endif()
enable_language(CUDA)
find_package(CUDAToolkit REQUIRED)

# A target of its own: `--target lamina_cuda` compiles the device without the rest of the library.
file(GLOB cuda_sources CONFIGURE_DEPENDS cuda/*.cu cuda/*.cpp cuda/runtime/*.cu cuda/runtime/*.cpp)
add_library(lamina_cuda OBJECT ${cuda_sources})
target_include_directories(lamina_cuda PRIVATE ${PROJECT_SOURCE_DIR}/cpp ${PROJECT_SOURCE_DIR})
target_compile_definitions(lamina_cuda PRIVATE LAMINA_WITH_CUDA)
target_link_libraries(lamina_cuda PRIVATE CUDA::cudart_static)
set_target_properties(lamina_cuda PROPERTIES
  CUDA_STANDARD 20
  CUDA_STANDARD_REQUIRED ON
  CUDA_VISIBILITY_PRESET hidden)
# -fmad=false is -ffp-contract=off: a product and a sum are fused where the source says fma.
set(lamina_cuda_flags -fmad=false --threads=0 -Xcompiler=-Wall,-Wextra)
if(LAMINA_WERROR)
  list(APPEND lamina_cuda_flags --Werror=all-warnings)
endif()
target_compile_options(lamina_cuda PRIVATE "$<$<COMPILE_LANGUAGE:CUDA>:${lamina_cuda_flags}>")

target_sources(lamina_core PRIVATE $<TARGET_OBJECTS:lamina_cuda>)
set_source_files_properties(cpp/cuda_info.cpp PROPERTIES COMPILE_DEFINITIONS LAMINA_WITH_CUDA)
target_link_libraries(lamina_core INTERFACE CUDA::cudart_static)
