"""What is kept on this machine between calls."""

import os
from pathlib import Path


def configure_jax() -> None:
    """Keeps compiled programs between calls, in the user's cache directory if there can be one."""
    import jax

    if jax.config.values["jax_compilation_cache_dir"] is None:
        directory = cache_directory() / "xla"
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError:
            return
        if not os.access(directory, os.W_OK):
            return
        jax.config.update("jax_compilation_cache_dir", str(directory))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


def cache_directory() -> Path:
    """The user's cache directory of this project."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "jax-functional-zoo"
