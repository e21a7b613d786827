"""Cases and data sets: phantoms that need no download, and the papers' real sets behind the same interface."""

from covidseg.data.case import Case, CaseDataset
from covidseg.data.datasets import data_set, list_datasets, load_dataset
from covidseg.data.sets import DataSet

__all__ = ["Case", "CaseDataset", "DataSet", "data_set", "list_datasets", "load_dataset"]
