"""The colors of all charts."""

# Okabe and Ito's colors, which color-blind eyes can tell apart.
FAMILY_COLORS = {"discriminative": "#0072b2", "generative": "#d55e00", "reference": "#6b7280"}
# The same for text, which needs more contrast than lines.
FAMILY_TEXT_COLORS = FAMILY_COLORS | {"generative": "#b84f00"}
INK = "#1f2430"
MUTED = "#667085"
GRID = "#e3e6eb"
# Lines in the background: what all models share, or other models.
FAINT = "#b5bac4"
# Ten classes: Okabe and Ito's colors without black, and three that stay apart from them.
CLASS_COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#6a3d9a", "#8c564b", "#7f7f7f")
# Cells of a heatmap: the palette's green, which is no family's color.
HEAT = "#009e73"
# The share of a cell's color at the highest weight: dark letters can still be read on it.
DARKEST = 0.75


def family_color(family: str) -> str:
    """The color of a family's lines and dots."""
    return FAMILY_COLORS.get(family, MUTED)


def shade(color: str, weight: float) -> str:
    """A color as CSS, the more opaque the larger the weight, which is between 0 and 1."""
    opacity = round(255 * DARKEST * weight)
    return f"{color}{opacity:02x}"
