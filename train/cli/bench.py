"""`zoo bench`."""

import dataclasses
from typing import Annotated, Any, Literal

import jax
import tyro

import zoo
from checkpoints import paths
from train.bench import compare, peers
from train.bench.ours import ours
from train.cli.arguments import parse
from train.cli.output import emit_json
from train.report import print_table

NAMES = tyro.conf.arg(metavar="NAME...", help_behavior_hint="(at least one)")


@dataclasses.dataclass(frozen=True)
class BenchArguments:
    """Times a forward pass and a training step of networks, beside another implementation.

    Both take turns in one process, so that what disturbs one disturbs the other; medians count.
    PyTorch runs on its GPU if it has one. Weights are made up.

        zoo bench resnet50 sret_t --batch-size 8
        zoo bench resnet50 inception_v3 --against timm --out runs/speed
    """

    names: Annotated[tuple[str, ...], tyro.conf.Positional, NAMES]
    """Architectures of `zoo list`."""
    against: Literal["timm", "torch-compile", "keras", "linen"] | None = None
    """The peer: timm in eager PyTorch, timm under torch.compile, Keras on JAX, or the same network
    with the convolutions of flax.linen.Conv."""
    batch_size: int = 8
    """Examples of a batch."""
    repeats: int = 9
    """Turns of each, after one that does not count."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of our computation; peers compute in float32."""
    out: str | None = None
    """Directory for bench.csv and bench.png."""
    json: bool = False
    """Print JSON, a row for each network and kind of work: network, kind, batch, dtype, device,
    repeats, seconds (median), spread (distance of the quartiles as a share of it),
    compile_seconds, memory (bytes), the same of the peer with `peer_`, and speed, which is above 1
    where ours is the faster one."""


ARGUMENTS = BenchArguments


def command(argv: list[str]) -> None:
    """`zoo bench`."""
    arguments = parse(BenchArguments, "bench", argv)
    compare.check_repeats(arguments.repeats, arguments.batch_size)
    for name in arguments.names:
        zoo.model_info(name)  # before anything is compiled
    out = None if arguments.out is None else paths.local(arguments.out)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for name in arguments.names:
        rows += _measured(name, arguments)
        jax.clear_caches()
        if out is not None:
            compare.write_csv(rows, out / "bench.csv")  # what is there if the next one is stopped
    if out is not None:
        compare.draw(rows, out / "bench.png")
    if arguments.json:
        return emit_json(rows)
    columns = ["network", "work", "seconds", "spread", "compile", "memory"]
    columns += [arguments.against, "spread", "compile", "speed"] if arguments.against else []
    print_table(columns, [_cells(row) for row in rows])
    return None


def _measured(name: str, arguments: BenchArguments) -> list[dict[str, Any]]:
    """The rows of one network."""
    batch = compare.batch_of(name, arguments.batch_size)
    peer = peers.PEERS[arguments.against](name, *batch) if arguments.against else None
    figures = compare.compare(ours(name, *batch, dtype=arguments.dtype), peer, arguments.repeats)
    facts = {"batch": arguments.batch_size, "dtype": arguments.dtype, "repeats": arguments.repeats}
    return compare.rows_of(name, figures, against=arguments.against, **facts)


def _cells(row: dict[str, Any]) -> list[str]:
    memory = "" if row["memory"] is None else f"{row['memory'] / 2**20:,.0f} MiB"
    cells = [row["network"], row["kind"], *_times(row, ""), memory]
    return cells + ([*_times(row, "peer_"), f"{row['speed']:.2f}"] if row["against"] else [])


def _times(row: dict[str, Any], side: str) -> list[str]:
    median, spread, compiling = (row[side + n] for n in ("seconds", "spread", "compile_seconds"))
    return [f"{median:.4f}", f"{spread:.0%}", f"{compiling:.1f}"]
