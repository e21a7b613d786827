"""Cases and data sets: phantoms that need no download, and the papers' real sets behind the same interface."""

from covidseg.data.case import Case, CaseDataset
from covidseg.data.datasets import list_datasets, load_dataset

__all__ = ["Case", "CaseDataset", "list_datasets", "load_dataset"]
