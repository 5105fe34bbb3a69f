"""Draws images from a fitted model: of a prompt, of a class, or of any class.

python scripts/draw.py --run results/runs/digits/dalle/seed0 --text "a handwritten three" --out three.png
"""

import argparse
import sys

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--run", required=True, help="folder of a run: results/runs/{dataset}/{model}/seed{seed}")
condition = parser.add_mutually_exclusive_group()
condition.add_argument("--text", help="a prompt, for a text-to-image model")
condition.add_argument("--label", help="name or number of a class, for a conditional model")
parser.add_argument("--out", required=True, help="path of the picture, a PNG")
parser.add_argument("--count", type=int, default=1, help="number of images, side by side (1)")
parser.add_argument("--seed", type=int, default=0, help="of the random generators (0)")
arguments = vars(parser.parse_args())

from pofxy.sampling.generate import generate  # noqa: E402 (a wrong argument is reported before torch is loaded)

try:
    print(generate(**arguments))
except ValueError as error:
    sys.exit(f"pofxy: {error}")
