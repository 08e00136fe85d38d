"""TNT's names in timm and in the authors' repository ("tnt")."""

from collections.abc import Mapping

import numpy as np

from checkpoints.convert.leaves import CONV, DENSE, NORM
from checkpoints.convert.rules import Leaf, Path, Rule, Shape, Table

POOL = "token"  # what timm calls it that the head reads the class token

TIMM = Table(
    rules=(
        Rule(
            "",
            "",
            (
                Leaf("params/class_token", "cls_token"),
                Leaf("params/patch_positions", "patch_pos"),
                Leaf("params/pixel_positions", "pixel_pos", (0, 3, 1, 2)),
            ),
        ),
        Rule("pixel_embed", "pixel_embed.proj", CONV),
        Rule("project/norm{k}", "norm{k}_proj", NORM),
        Rule("project/linear", "proj", DENSE),
        Rule("block{b}/inner/norm1", "blocks.{b}.norm_in", NORM),
        Rule("block{b}/inner/attention/qk", "blocks.{b}.attn_in.qk", DENSE),
        Rule("block{b}/inner/attention/v", "blocks.{b}.attn_in.v", DENSE),
        Rule("block{b}/inner/attention/out", "blocks.{b}.attn_in.proj", DENSE),
        Rule("block{b}/inner/norm2", "blocks.{b}.norm_mlp_in", NORM),
        Rule("block{b}/inner/mlp/dense{k}", "blocks.{b}.mlp_in.fc{k}", DENSE),
        Rule("block{b}/project/norm{k}", "blocks.{b}.norm{k}_proj", NORM),
        Rule("block{b}/project/linear", "blocks.{b}.proj", DENSE),
        Rule("block{b}/outer/norm1", "blocks.{b}.norm_out", NORM),
        Rule("block{b}/outer/attention/qk", "blocks.{b}.attn_out.qk", DENSE),
        Rule("block{b}/outer/attention/v", "blocks.{b}.attn_out.v", DENSE),
        Rule("block{b}/outer/attention/out", "blocks.{b}.attn_out.proj", DENSE),
        Rule("block{b}/outer/norm2", "blocks.{b}.norm_mlp", NORM),
        Rule("block{b}/outer/mlp/dense{k}", "blocks.{b}.mlp.fc{k}", DENSE),
        Rule("final_norm", "norm", NORM),
        Rule("head", "head", DENSE),
    ),
    order=(
        *("cls_token", "patch_pos", "pixel_pos", "pixel_embed"),
        *("norm_in", "attn_in", "norm_mlp_in", "mlp_in"),
        *("qk", "v", "fc1", "fc2", "norm1_proj", "proj", "norm2_proj"),
        *("norm_out", "attn_out", "norm_mlp", "mlp"),
        *("blocks", "norm", "head", "weight", "bias"),
    ),
)


def outer_tokens(shapes: Mapping[Path, Shape]) -> dict[str, np.ndarray]:
    """Tokens of zeros that the repository keeps and never adds to anything."""
    batch, tokens, width = shapes["params", "patch_positions"]
    return {"outer_tokens": np.zeros((batch, tokens - 1, width), np.float32)}


TNT = Table(
    rules=(
        Rule(
            "",
            "",
            (
                Leaf("params/class_token", "cls_token"),
                Leaf("params/patch_positions", "outer_pos"),
                Leaf("params/pixel_positions", "inner_pos", merge=(1, 2)),
            ),
        ),
        Rule("pixel_embed", "patch_embed.proj", CONV),
        Rule("project/norm{k}", "proj_norm{k}", NORM),
        Rule("project/linear", "proj", DENSE),
        Rule("block{b}/inner/norm{k}", "blocks.{b}.inner_norm{k}", NORM),
        Rule("block{b}/inner/attention/qk", "blocks.{b}.inner_attn.qk", DENSE),
        Rule("block{b}/inner/attention/v", "blocks.{b}.inner_attn.v", DENSE),
        Rule("block{b}/inner/attention/out", "blocks.{b}.inner_attn.proj", DENSE),
        Rule("block{b}/inner/mlp/dense{k}", "blocks.{b}.inner_mlp.fc{k}", DENSE),
        Rule("block{b}/project/norm{k}", "blocks.{b}.proj_norm{k}", NORM),
        Rule("block{b}/project/linear", "blocks.{b}.proj", DENSE),
        Rule("block{b}/outer/norm{k}", "blocks.{b}.outer_norm{k}", NORM),
        Rule("block{b}/outer/attention/qk", "blocks.{b}.outer_attn.qk", DENSE),
        Rule("block{b}/outer/attention/v", "blocks.{b}.outer_attn.v", DENSE),
        Rule("block{b}/outer/attention/out", "blocks.{b}.outer_attn.proj", DENSE),
        Rule("block{b}/outer/mlp/dense{k}", "blocks.{b}.outer_mlp.fc{k}", DENSE),
        Rule("final_norm", "norm", NORM),
        Rule("head", "head", DENSE),
    ),
    order=(
        *("cls_token", "outer_tokens", "outer_pos", "inner_pos", "patch_embed"),
        *("inner_norm1", "inner_attn", "inner_norm2", "inner_mlp"),
        *("qk", "v", "fc1", "fc2", "proj_norm1", "proj", "proj_norm2"),
        *("outer_norm1", "outer_attn", "outer_norm2", "outer_mlp"),
        *("blocks", "norm", "head", "weight", "bias"),
    ),
    constants=outer_tokens,
)

TABLES = {"timm": TIMM, "tnt": TNT}
