"""Widgets for readers: a picture, its controls, and a caption that says what is seen.

Core ipywidgets only, so they work in JupyterLab, Notebook, VS Code and Colab. Pixels are made by pure functions
(`covidseg.show.widgets.render`, `covidseg.show.pictures`); a widget only passes the values of its controls to one
of them.
"""

from covidseg.show.widgets.beside import Beside
from covidseg.show.widgets.explorer import AttentionExplorer
from covidseg.show.widgets.panel import ImagePanel, interactive_image
from covidseg.show.widgets.slices import SliceExplorer

__all__ = ["AttentionExplorer", "Beside", "ImagePanel", "SliceExplorer", "interactive_image"]
