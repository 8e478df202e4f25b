"""A project of images to be labelled: what is asked next, what was answered, how good it is by now.

`log` keeps what happened, `state` says what follows from it, `asking` chooses, `quality` judges; `commands` is what the
command line calls. A strategy and its classifier come in as one function, `choosing.Suggest`.
"""
