"""The table of every public op: one row each, by family, and what is no op and why.

A name that the extension binds must be here: as a row, as an alias of one, as the in-place form of
one, or in `ELSEWHERE` with the place that tests it.
"""

from __future__ import annotations

import op_table_activation
import op_table_attention
import op_table_conv
import op_table_creation
import op_table_dropout
import op_table_linalg
import op_table_loss_terms
import op_table_losses
import op_table_math
import op_table_nn
import op_table_norm
import op_table_order
import op_table_pad
import op_table_pointwise
import op_table_pool
import op_table_product
import op_table_rearrange
import op_table_reduce
import op_table_rnn
import op_table_scan
import op_table_scatter
import op_table_shape
from op_table_row import Row

ROWS: list[Row] = [
    *op_table_pointwise.ROWS,
    *op_table_math.ROWS,
    *op_table_reduce.ROWS,
    *op_table_order.ROWS,
    *op_table_scan.ROWS,
    *op_table_shape.ROWS,
    *op_table_rearrange.ROWS,
    *op_table_scatter.ROWS,
    *op_table_product.ROWS,
    *op_table_linalg.ROWS,
    *op_table_nn.ROWS,
    *op_table_activation.ROWS,
    *op_table_conv.ROWS,
    *op_table_attention.ROWS,
    *op_table_norm.ROWS,
    *op_table_losses.ROWS,
    *op_table_loss_terms.ROWS,
    *op_table_pool.ROWS,
    *op_table_dropout.ROWS,
    *op_table_pad.ROWS,
    *op_table_rnn.ROWS,
    *op_table_creation.ROWS,
]
RANDOM = op_table_creation.RANDOM

ELSEWHERE = {
    "autograd: test_autograd_api.py": [
        "backward", "detach_", "grad", "is_grad_enabled", "register_hook", "requires_grad_",
        "retain_grad", "set_grad_enabled",
    ],
    "optimizer steps: test_optim_state.py, test_optim_paths.py": [
        "optimizer_fits", "optimizer_group", "optimizer_step", "zero_grad",
    ],
    "many gradients or parameters at once: test_clip.py, test_swa.py": [
        "clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "grad_norm", "lerp_many",
        "total_norm",
    ],
    "what a Sequential runs: test_sequential.py": ["run_layers", "set_layers"],
    "hooks of leaves: test_leaves.py": ["register_post_accumulate_grad_hook"],
    "casts and conversions: test_ops_more.py": [
        "__array__", "__format__", "bool", "byte", "cpu", "double", "float", "int",
        "is_floating_point", "is_tensor", "item", "long", "numpy", "result_type", "to", "tolist",
        "type_as",
    ],
    "copies and pickles of modules: test_module.py, test_serialization.py": [
        "__copy__", "__deepcopy__", "__reduce_ex__", "_rebuild",
    ],
    "layout in memory, read by many checks in test_ops_more.py": [
        "data_ptr", "dim", "element_size", "is_contiguous", "nelement", "numel", "size",
        "storage_offset", "stride",
    ],
    "memory as it comes: there is no value to expect": ["empty", "empty_like", "new_empty"],
    "arrays shared with NumPy: test_ops_more.py, test_interop.py": [
        "__array_wrap__", "asarray", "from_numpy",
    ],
    "memory shared with other libraries: test_dlpack.py": [
        "__dlpack__", "__dlpack_device__", "from_dlpack",
    ],
    "devices and text: test_tensor_type.py": ["cuda", "set_printoptions"],
    "the generator's state: test_random.py": [
        "get_rng_state", "initial_seed", "manual_seed", "seed", "set_rng_state",
    ],
    "the default dtype: test_ops_more.py": ["get_default_dtype", "set_default_dtype"],
    "the process: test_hard_cases.py, test_import.py": [
        "_signatures", "allocator_stats", "cpu_info", "cuda_info", "empty_cache",
        "get_num_threads", "set_num_threads",
    ],
}  # fmt: skip
