"""covidseg: four COVID-19 CT segmentation papers, rebuilt, taught and checked number by number.

The names below are the whole public face; each is imported on first use, so that ``import covidseg``
stays light and a bare GPU machine needs only torch, numpy and scipy.
"""

from importlib import import_module

__version__ = "0.1.0"

_WHERE = {
    "list_models": "covidseg.nn",
    "create_model": "covidseg.nn",
    "load_official": "covidseg.papers",
    "load_dataset": "covidseg.data",
    "profile_model": "covidseg.profiling",
    "predict": "covidseg.inference",
    "optimize": "covidseg.inference",
}
_MODULES = {name: f"covidseg.{name}" for name in ("attention", "data", "inference", "losses", "metrics", "training")}
_MODULES |= {"models": "covidseg.nn", "plotting": "covidseg.show", "profiling": "covidseg.profiling"}

__all__ = ["__version__", *_WHERE, *_MODULES]


def __getattr__(name):
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    if name in _MODULES:
        return import_module(_MODULES[name])
    raise AttributeError(f"module 'covidseg' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
