"""Writes Keras's HDF5 files without Keras."""

import h5py


def write_h5(path, weights, root="/", layers=None):
    """The layout of Keras 1 and 2: names in attributes.

    Args:
        path: file to write.
        weights: arrays by name, as in `conv2d_1/kernel`.
        root: group below which the layers lie.
        layers: names of the layers; None for those in the names of the weights, after an input.
    """
    with h5py.File(path, "w") as file:
        group = file.require_group(root)
        layers = layers or ["input_1", *dict.fromkeys(name.split("/")[0] for name in weights)]
        group.attrs["layer_names"] = [name.encode() for name in layers]
        for layer in layers:
            names = [name for name in weights if name.startswith(f"{layer}/")]
            group.require_group(layer).attrs["weight_names"] = [f"{n}:0".encode() for n in names]
            for name in names:
                group[layer].create_dataset(f"{name}:0", data=weights[name])
    return path
