"""Widgets for readers: a picture, its controls, and a caption that says what is seen.

Core ipywidgets only, so they work in JupyterLab, Notebook, VS Code and Colab. Pixels are made by pure functions
(`covidseg.widgets.render`, `covidseg.pictures`); a widget only passes the values of its controls to one of them.
"""

from covidseg.widgets.explorer import AttentionExplorer
from covidseg.widgets.panel import ImagePanel, interactive_image
from covidseg.widgets.slices import SliceExplorer

__all__ = ["AttentionExplorer", "ImagePanel", "SliceExplorer", "interactive_image"]
