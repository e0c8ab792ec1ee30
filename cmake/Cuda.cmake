# The CUDA device: sources, architectures and flags.

if(NOT CMAKE_CUDA_COMPILER)
  find_program(CMAKE_CUDA_COMPILER nvcc
    HINTS ENV CUDACXX ENV CUDA_HOME ENV CUDA_PATH /usr/local/cuda PATH_SUFFIXES bin)
endif()
if(NOT CMAKE_CUDA_COMPILER)
  message(FATAL_ERROR "LAMINA_CUDA=ON needs nvcc: put it on PATH or set CUDA_HOME.")
endif()

# Unless told otherwise: PTX for the oldest architecture that this nvcc lists, and from that PTX
# machine code for every one of them. The kernels need nothing newer, so it is the code that each
# would get by itself, at a fraction of the time; architectures to come translate the PTX.
set(lamina_cuda_architecture_flags "")
if(NOT CMAKE_CUDA_ARCHITECTURES)
  execute_process(COMMAND ${CMAKE_CUDA_COMPILER} --list-gpu-arch
    OUTPUT_VARIABLE listed OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCHALL "[0-9]+" architectures "${listed}")
  list(SORT architectures COMPARE NATURAL)
  list(GET architectures 0 oldest)
  foreach(architecture IN LISTS architectures)
    list(APPEND lamina_cuda_architecture_flags
      --generate-code=arch=compute_${oldest},code=sm_${architecture})
  endforeach()
  list(APPEND lamina_cuda_architecture_flags
    --generate-code=arch=compute_${oldest},code=compute_${oldest})
  set(CMAKE_CUDA_ARCHITECTURES OFF)
endif()
enable_language(CUDA)
# A CMake that is older than the nvcc does not know how to ask it for C++20.
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
endif()
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
set(lamina_cuda_flags ${lamina_cuda_architecture_flags}
  -fmad=false --threads=0 -Xcompiler=-Wall,-Wextra,-Wshadow)
if(CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL 12.8)
  list(APPEND lamina_cuda_flags --compress-mode=size)
endif()
if(LAMINA_WERROR)
  list(APPEND lamina_cuda_flags --Werror=all-warnings)
endif()
target_compile_options(lamina_cuda PRIVATE "$<$<COMPILE_LANGUAGE:CUDA>:${lamina_cuda_flags}>")

target_sources(lamina_core PRIVATE $<TARGET_OBJECTS:lamina_cuda>)
set_source_files_properties(cpp/cuda_info.cpp PROPERTIES COMPILE_DEFINITIONS LAMINA_WITH_CUDA)
target_link_libraries(lamina_core INTERFACE CUDA::cudart_static)
