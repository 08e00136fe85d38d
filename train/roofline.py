"""The least time that a device's published peaks allow a program."""

from typing import NamedTuple


class Peak(NamedTuple):
    """What a device does at most.

    Attributes:
        flops: operations per second of matrix products in bfloat16, as which a TPU also takes those
            in float32 unless it is told otherwise.
        bandwidth: bytes per second between the device and its memory (HBM).
    """

    flops: float
    bandwidth: float


# https://cloud.google.com/tpu/docs/system-architecture-tpu-vm and its pages, of each version. The
# chip of TPU7x is two devices, each with half of what is published.
PEAKS = {
    "TPU v4": Peak(275e12, 1.228e12),
    "TPU v5 lite": Peak(197e12, 0.819e12),
    "TPU v5": Peak(459e12, 2.765e12),
    "TPU v6 lite": Peak(918e12, 1.640e12),
    "TPU7x": Peak(2307e12 / 2, 7.380e12 / 2),
}


def roofline_seconds(kind: str, flops: float, traffic: float) -> float | None:
    r"""The longer one of computing and moving, \(\max(F / F_{max}, B / B_{max})\), in seconds.

    Williams, Waterman & Patterson 2009, https://doi.org/10.1145/1498765.1498785.

    Args:
        kind: of the device, as JAX calls it.
        flops: operations of the program.
        traffic: bytes that it reads from and writes to the device's memory.

    Returns:
        None for a device whose peaks are not known.
    """
    peak = PEAKS.get(kind)
    return None if peak is None else max(flops / peak.flops, traffic / peak.bandwidth)
