"""The parts that figures are made of: SVG charts, HTML tables and galleries of images."""
