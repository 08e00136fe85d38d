"""The one sentence about images that are too small."""

from jaxtyping import Array, Float

from zoo.errors import UsageError


def require_size(
    images: Float[Array, "b h w c"], smallest: int, what: str = "this network"
) -> None:
    """Refuses images with a side of less than `smallest` pixels.

    Raises:
        UsageError: says the smallest size that `what` takes.
    """
    height, width = images.shape[1:3]
    if min(height, width) < smallest:
        raise UsageError(
            f"`images` must be at least {smallest}x{smallest} pixels for {what}, "
            f"got {height}x{width}; enlarge them."
        )
