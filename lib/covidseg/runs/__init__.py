"""Many runs of notebooks, in processes, on this machine or several, that can be killed at any time and go on.

``plan`` says which runs, ``keys`` when a finished one still counts, ``work`` does one, ``locks`` keeps two batches
apart, ``cluster`` hands runs to workers, ``summary`` tells. All that a batch knows is in its folder:

    FOLDER/NAME/          a finished run: executed notebook and its page, result.json, checkpoints, batch.json
    FOLDER/NAME.part-ID/  a run under way, or what a killed one left; the next attempt takes it over
    FOLDER/NAME.failed/   the last attempt of a run that failed, to look at
    FOLDER/NAME.lock      who is doing the run: host, process, and a heartbeat (the file's time)

A run folder gets its name by one rename when everything in it is written, so a folder without a suffix is whole.
"""
