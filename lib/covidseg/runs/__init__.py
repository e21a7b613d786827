"""Many runs, in processes, on this machine or several, that can be killed at any time and go on.

``grids`` reads them from a file, ``plan`` names and checks them, ``keys`` says when a finished one still counts,
``work`` does one: a notebook, or the function in ``plain`` where there is no Jupyter. ``locks`` keeps two batches
apart, ``pool`` and ``cluster`` hand runs to processes, ``summary`` tells, ``command`` is all of it. All that a batch
knows is in its folder:

    FOLDER/NAME/          a finished run: result.json, checkpoints, batch.json, the executed notebook and its page
    FOLDER/NAME.part-ID/  a run under way, or what a killed one left; the next attempt takes it over
    FOLDER/NAME.failed/   the last attempt of a run that failed, to look at
    FOLDER/NAME.lock      who is doing the run: host, process, and a heartbeat (the file's time)

A run folder gets its name by one rename when everything in it is written, so a folder without a suffix is whole.
"""
