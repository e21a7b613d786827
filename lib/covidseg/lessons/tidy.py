"""Take out of a notebook what an execution leaves behind and no reader needs."""

KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def tidy(notebook):
    """Drop run metadata, in place: papermill's and the executor's, widget state, the Python version.

    Sources, outputs, tags, execution counts and cell ids stay. Widget state must go because GitHub refuses
    to show notebooks that carry an incomplete one; the static figure beside each widget stays.
    """
    for key in ("papermill", "widgets"):
        notebook.metadata.pop(key, None)
    notebook.metadata["kernelspec"] = dict(KERNELSPEC)
    notebook.metadata["language_info"] = {"name": "python", "file_extension": ".py", "mimetype": "text/x-python"}
    for cell in notebook.cells:
        for key in ("papermill", "execution", "collapsed"):
            cell.metadata.pop(key, None)
    return notebook
