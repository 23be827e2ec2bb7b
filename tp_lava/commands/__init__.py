"""The commands, one module each: options and work. cli.py registers them.

Shared by several commands: `options`, `configuration` (options in files), `printing` (output), `converting` (models by name), `data` and
`rules` (data and learning rules by name). `training` uses `train_settings` (its options) and `runs` (the folder of a run).
"""
