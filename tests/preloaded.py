"""What the fork server imports before it forks; see `tests.forked`. Nothing here computes."""

import gc
import importlib
import importlib.util
from unittest import mock

MODULES = (
    "matplotlib.pyplot", "scipy.io", "sklearn.datasets", "sklearn.linear_model", "sklearn.manifold",
    "torch._inductor.compile_fx", "torch.utils.tensorboard",
    "gzsl_dist.bank.merge", "gzsl_dist.bank.writer", "gzsl_dist.data.digits",
    "gzsl_dist.experiment.run", "gzsl_dist.inference.model", "gzsl_dist.planning.command",
    "gzsl_dist.results.collect", "gzsl_dist.training.loop", "gzsl_dist.verification.run",
    "pytest",
)  # fmt: skip

DEEPSPEED = ("deepspeed.ops.op_builder", "deepspeed.runtime.zero.muon.muon_optimizer", "setuptools")

with mock.patch.dict("os.environ", DS_ACCELERATOR="cpu"):
    for name in (*MODULES, *(DEEPSPEED if importlib.util.find_spec("deepspeed") else ())):
        importlib.import_module(name)
from gzsl_dist.monitoring import matrix_products  # noqa: E402

matrix_products.SIZES["cpu"] = 64  # the speed that a run measures at its start takes it a second
gc.freeze()  # a collection in a forked process need not look at these
