"""The commands, one module each: options and work. cli.py registers them.

Shared by several commands: `options`, `configuration` (options in files), `named` (models, data and learning rules by name), `printing`
(output). `training` uses `train_settings` (its options) and `runs` (the folder of a run).
"""
