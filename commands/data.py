"""`cstm data`: synthetic sets on disk, and a picture of what is in them."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path

from cstm.data.sprites.options import KINDS, SPLITS, SpriteOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `cstm data`."""
    commands = parser.add_subparsers(required=True, metavar="WHAT")
    sprites = commands.add_parser("sprites", help="sprite clips in A2D Sentences' layout")
    sprites.set_defaults(make=_sprites)
    sprites.add_argument("out", type=Path, help="a new folder")
    sprites.add_argument("--clips", type=int, default=250, metavar="N", help="default: 250")
    sprites.add_argument("--size", type=int, default=192, metavar="R", help="side of a frame in pixels (default: 192)")
    sprites.add_argument("--cutouts", metavar="DIR", help="photographs that act instead of emoji")
    cutouts = commands.add_parser("cutouts", help="moving actors cut out of real videos, for --cutouts")
    cutouts.set_defaults(make=_cutouts)
    cutouts.add_argument("real", type=Path, help="a folder of real videos with masks and an actors.csv")
    cutouts.add_argument("out", type=Path, help="the folder of cut-outs to add them to")
    sheet = commands.add_parser("sheet", help="a picture of some sprite clips with their sentences")
    sheet.set_defaults(make=_sheet)
    sheet.add_argument("out", type=Path, help="an image file")
    sheet.add_argument("--clips", type=int, default=10, metavar="N", help="default: 10")
    for command in (sprites, sheet):
        command.add_argument("--split", choices=SPLITS, default="test", help="default: test")
        command.add_argument("--seed", type=int, default=0, help="default: 0")
        command.add_argument(
            "--kind", choices=KINDS, help="what tells the referent from its double (default: a mixture)"
        )


def run(arguments: argparse.Namespace) -> int:
    """Make what the command line says, and print where it is."""
    print(arguments.make(arguments))
    return 0


def _sprites(arguments: argparse.Namespace) -> Path:
    from cstm.data.sprites.write import write_sprites

    options = SpriteOptions(**{field.name: getattr(arguments, field.name) for field in fields(SpriteOptions)})
    return write_sprites(arguments.out, options)


def _cutouts(arguments: argparse.Namespace) -> Path:
    from cstm.data.sprites.moving import write_moving

    arguments.out.mkdir(parents=True, exist_ok=True)
    write_moving(arguments.real, arguments.out)
    return arguments.out


def _sheet(arguments: argparse.Namespace) -> Path:
    from cstm.data.sprites.sheet import write_sheet

    return write_sheet(arguments.out, arguments.split, arguments.seed, arguments.clips, arguments.kind)
