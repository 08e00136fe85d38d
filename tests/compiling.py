"""Flags under which programs compile fast: in tests numbers matter, speed does not."""

from importlib.metadata import version

FLAGS = [
    "--xla_backend_optimization_level=0",
    "--xla_llvm_disable_expensive_passes=true",
    "--xla_cpu_parallel_codegen_split_count=1",  # there is a worker for each core
]
if version("jaxlib").startswith("0.10."):  # a third of the time; jaxlib 0.12 has no such flag
    FLAGS.append("--xla_cpu_use_fusion_emitters=false")
XLA_FLAGS = " ".join(FLAGS)
