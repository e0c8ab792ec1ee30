"""The names that a PyTorch script asks for beside layers are there, or their absence is said."""

from __future__ import annotations

from importlib import import_module

import lamina
import pytest
from lamina import nn

NAMES = {
    "lamina.nn": (
        "Module Parameter Buffer Sequential ModuleList ModuleDict ParameterList ParameterDict"
    ),
    "lamina.nn.Module": (
        "parameters named_parameters buffers named_buffers modules named_modules children "
        "named_children apply train eval requires_grad_ zero_grad to float double cpu cuda "
        "state_dict load_state_dict register_buffer register_parameter register_module "
        "register_forward_hook register_forward_pre_hook register_full_backward_hook "
        "register_full_backward_pre_hook add_module "
        "register_state_dict_pre_hook register_state_dict_post_hook "
        "register_load_state_dict_pre_hook register_load_state_dict_post_hook "
        "get_submodule set_submodule get_parameter get_buffer extra_repr compile forward"
    ),
    "lamina.nn.utils": (
        "weight_norm remove_weight_norm spectral_norm remove_spectral_norm fuse_conv_bn_eval "
        "fuse_conv_bn_weights fuse_linear_bn_eval fuse_linear_bn_weights"
    ),
    "lamina.utils.data": (
        "Dataset IterableDataset TensorDataset ConcatDataset ChainDataset Subset random_split "
        "DataLoader Sampler RandomSampler SequentialSampler WeightedRandomSampler BatchSampler "
        "SubsetRandomSampler default_collate default_convert get_worker_info"
    ),
    "lamina.utils.checkpoint": "checkpoint",
    "lamina.distributions": (
        "Distribution Normal Categorical Bernoulli Uniform Independent kl_divergence"
    ),
    "lamina": (
        "save load load_torch save_torch summary compile distributions utils "
        "pi e inf nan newaxis autocast"
    ),
    "lamina.cuda": "is_available device_count",
    "lamina.backends": "cudnn mps cuda",
    "lamina.accelerator": "is_available device_count current_accelerator",
    "lamina.amp": "autocast GradScaler",
    "lamina.distributed": "is_available is_initialized",
}


def home(path):
    if path == "lamina.nn.Module":
        return nn.Module
    return import_module(path)


@pytest.mark.parametrize("path", NAMES)
def test_every_name_is_there(path):
    there = home(path)
    assert [name for name in NAMES[path].split() if not hasattr(there, name)] == []


@pytest.mark.parametrize(
    "path", [path for path in NAMES if path not in ("lamina.nn.Module", "lamina.utils.checkpoint")]
)
def test_a_name_that_is_absent_is_said_so(path):
    module = home(path)
    torch_path = path.replace("lamina", "torch", 1)
    text = rf"^{path} has no 'nothing_like_it' \(PyTorch's {torch_path}.nothing_like_it\)"
    with pytest.raises(AttributeError, match=text):
        module.nothing_like_it  # noqa: B018
    assert not hasattr(module, "__wrapped__")


def test_what_is_nearest_is_offered():
    for path, wrong, right in (
        ("lamina.nn", "ModulDict", "ModuleDict"),
        ("lamina.nn.utils", "weightnorm", "weight_norm"),
        ("lamina.distributions", "Catgorical", "Categorical"),
        ("lamina", "load_troch", "load_torch"),
    ):
        with pytest.raises(AttributeError, match=f"{wrong}.*; nearest: .*{right}"):
            getattr(home(path), wrong)


def test_what_is_made_late_is_listed():
    assert {"summary", "load_torch", "save_torch", "distributions"} <= set(dir(lamina))
