"""Draws images from a fitted model: of a prompt, of a class, or of whatever it draws by itself.

python scripts/draw.py --run results/runs/digits/dalle/seed0 --text "a handwritten three" --out three.png
"""

import argparse
import sys

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--run", required=True, help="folder of a run: results/runs/{dataset}/{model}/seed{seed}")
asked = parser.add_mutually_exclusive_group()
asked.add_argument("--text", help="a prompt, for a model that draws from text")
asked.add_argument("--label", help="name or number of a class, for a conditional model")
parser.add_argument("--out", required=True, help="the picture, a PNG")
parser.add_argument("--count", type=int, default=1, help="how many images, side by side (1)")
parser.add_argument("--seed", type=int, default=0, help="of the draw (0)")
arguments = vars(parser.parse_args())

from pofxy.sampling import generate  # noqa: E402 (a wrong word on the command line is said before torch is loaded)

try:
    print(generate.draw(**arguments))
except ValueError as error:
    sys.exit(f"pofxy: {error}")
