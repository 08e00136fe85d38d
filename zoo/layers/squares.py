"""Maps cut into squares."""

from jaxtyping import Array, Float


def squares(
    x: Float[Array, "b h w c"], size: int, grid: tuple[int, int]
) -> Float[Array, "b rows columns size size c"]:
    """The squares of `size` × `size` pixels on a `grid` over each map; the rest is left out."""
    (rows, columns), (b, _, _, c) = grid, x.shape
    x = x[:, : rows * size, : columns * size]
    # One axis at a time, which JAX can follow on a mesh.
    x = x.reshape(b, rows, size, columns * size, c)
    return x.reshape(b, rows, size, columns, size, c).swapaxes(2, 3)
