"""covidseg: four COVID-19 CT segmentation papers, rebuilt, taught and checked number by number.

The names below are the whole public face; each is imported on first use, so that ``import covidseg``
stays light and a bare GPU machine needs only torch, numpy and scipy.
"""

from importlib import import_module

__version__ = "0.1.0"

_WHERE = {
    "list_models": "covidseg.models",
    "create_model": "covidseg.models",
    "load_official": "covidseg.models.official",
    "load_dataset": "covidseg.data",
    "profile_model": "covidseg.profiling",
    "predict": "covidseg.inference",
}
_MODULES = ("attention", "data", "inference", "losses", "metrics", "models", "plotting", "profiling", "training")

__all__ = ["__version__", *_WHERE, *_MODULES]


def __getattr__(name):
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    if name in _MODULES:
        return import_module(f"covidseg.{name}")
    raise AttributeError(f"module 'covidseg' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
