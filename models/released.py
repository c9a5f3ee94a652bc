"""The authors' released layout: what the tensors of their checkpoint are called here."""

from __future__ import annotations

from cstm.models.tensors import Rules, rename

# The released code's names (github RyanHTR/CSTM) -> ours: where a part is, then what it is.
PREFIXES: Rules = [
    (r"^s_layer(\d)\.", lambda m: f"encoders.spatial.stages.{int(m[1]) - 1}."),
    (r"^t_layer(\d)\.", lambda m: f"encoders.temporal.stages.{int(m[1]) - 1}."),
    (r"^cmam_s\.", "encoders.spatial.cmam."),
    (r"^cmam_t\.", "encoders.temporal.cmam."),
    (r"^ires_trans\.", "encoders.spatial.project."),
    (r"^vres_trans\.", "encoders.temporal.project."),
    (r"^conv_fuse1\.(\d)\.", r"fusion.\1.fuse."),
    (r"^conv_fuse2\.", "decoder.merge."),
    (r"^conv_mask\.", "decoder.heads."),
    (r"^txt_encoder\.", "text.encoder."),
    (r"^txt_norm\.0\.", "text.norm."),
]
PARTS: Rules = [
    (r"\.vt\.(conv|conv3d)\.", ".mix.0."),
    (r"\.vt\.(bn|batch3d)\.", ".mix.1."),
    (r"\.v_key\.(conv|conv3d)\.", ".key.0."),
    (r"\.v_key\.(bn|batch3d)\.", ".key.1."),
    (r"\.l_query\.", ".query."),
    (r"\.gamma\.0\.", ".gate."),
    (r"\.branch_(\d)\.", r".branches.\1."),
    (r"\.conv3d\.", ".conv."),
    (r"\.batch3d\.", ".norm."),
]


def released_to_ours(name: str) -> str:
    """A tensor's name in the released code -> its name here; an unknown name comes back unchanged."""
    return rename(rename(name.removeprefix("module."), PREFIXES), PARTS)
